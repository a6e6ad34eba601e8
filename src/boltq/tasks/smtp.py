"""Hands a mail to the SMTP server of the settings, and says what its answers mean for the job."""

import asyncio
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from boltq.domain.context import JobContext
from boltq.domain.job_error import Category
from boltq.domain.outcome import DataError, TransientError
from boltq.tasks.mail import Mail

TIMEOUT = 60.0  # for all of it


class LoginRefused(Exception):
    """The server does not take the user and password of the settings: nothing is wrong with the mail."""

    category = Category.SYSTEM


async def send(mail: Mail, url: str, ctx: JobContext) -> dict[str, Any]:
    """Send it. Raises DataError, TransientError, LoginRefused, TimeoutError; none of them has the password in it."""
    try:
        async with asyncio.timeout(TIMEOUT), _server(url) as server:
            refused, _ = await server.sendmail(mail.sender, mail.recipients, mail.text)
    except aiosmtplib.SMTPAuthenticationError as error:
        raise LoginRefused(f"the mail server refuses the login: {error.code} {error.message}") from None
    except aiosmtplib.SMTPTimeoutError:
        raise TimeoutError("the mail server does not answer") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _all_refused(error.recipients) from None
    except aiosmtplib.SMTPResponseException as error:
        raise _refusal(error.code, f"{error.code} {error.message}") from None
    except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
        raise TransientError(f"the mail server cannot be used: {type(error).__name__}: {error}") from None
    for address, answer in refused.items():
        ctx.log(f"{address} was refused: {answer.code} {answer.message}")
    return {
        "sent": True,
        "message_id": mail.message_id,
        "recipients": len(mail.recipients) - len(refused),
        "refused": {address: f"{answer.code} {answer.message}" for address, answer in refused.items()},
    }


def _server(url: str) -> aiosmtplib.SMTP:
    """A client that has not connected. A password is sent over TLS only, or within this host."""
    parts = urlsplit(url)
    host, user, password = parts.hostname or "", parts.username, parts.password
    at_home = host in {"localhost", "127.0.0.1", "::1"}
    is_secret = user is not None and not at_home
    encrypted = parts.scheme == "smtps"
    return aiosmtplib.SMTP(
        hostname=host,
        port=parts.port or (465 if encrypted else 587 if is_secret else 25),
        username=None if user is None else unquote(user),
        password=None if password is None else unquote(password),
        use_tls=encrypted,
        start_tls=False if encrypted or at_home else True if is_secret else None,  # None: where the server offers it
        timeout=TIMEOUT,
        local_hostname="localhost",
    )


def _all_refused(refusals: list[aiosmtplib.SMTPRecipientRefused]) -> Exception:
    """A retry is worth making when it may help any of them."""
    words = "; ".join(f"{one.recipient}: {one.code} {one.message}" for one in refusals)
    return _refusal(min(one.code for one in refusals), f"every recipient was refused: {words}")


def _refusal(code: int, message: str) -> Exception:
    if 500 <= code < 600:  # noqa: PLR2004 - a permanent one
        return DataError(message)
    return TransientError(message)
