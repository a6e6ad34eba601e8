"""A mail, built from the fields of a job: every address and every header is checked before anything is made of it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Self

from boltq.domain.outcome import DataError
from boltq.settings import Settings, listed

Given = str | list[str] | None

MAX_RECIPIENTS = 50
OUTBOX_KEEPS = 1_000  # files; the oldest ones go


@dataclass(frozen=True)
class Mail:
    """A mail and its envelope."""

    sender: str
    recipients: list[str]
    message_id: str  # by which a second copy can be recognised
    text: bytes  # lines end with CR LF, and no byte is above 127

    @classmethod
    def of(
        cls, settings: Settings, job_id: str, *, fields: Mapping[str, Given], subject: str, body: str, html: str | None
    ) -> Self:
        """The mail of a job. Raises DataError that names the field."""
        _check_line("subject", subject)
        to = [*_addresses("to", fields.get("to")), *_addresses("recipient", fields.get("recipient"))]
        cc, bcc = _addresses("cc", fields.get("cc")), _addresses("bcc", fields.get("bcc"))
        recipients = list(dict.fromkeys(address.addr_spec for address in [*to, *cc, *bcc]))
        if not recipients:
            raise DataError("to: there is no recipient")
        if len(recipients) > MAX_RECIPIENTS:
            raise DataError(f"to, cc and bcc: {len(recipients)} recipients; at most {MAX_RECIPIENTS}")
        sender = _sender(settings, fields.get("from"))
        message_id = f"<{job_id}@{sender.domain}>"  # the same for each run of the job
        headers = {
            "From": _written([sender]),
            "To": _written(to),
            "Cc": _written(cc),
            "Reply-To": _written(_addresses("reply_to", fields.get("reply_to"))),
            "Subject": _encoded(subject.strip()),
            "Date": format_datetime(datetime.now(UTC)),
            "Message-ID": message_id,
        }
        return cls(sender.addr_spec, recipients, message_id, _text(headers, body, html))


def keep_in_outbox(mail: Mail, folder: Path, job_id: str) -> str:
    """Write the mail to a file that only this user can read; a repeated run writes the same one. Its name."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{job_id}.eml"
    unfinished = folder / f".{job_id}.{os.getpid()}"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(mail.text)
    unfinished.replace(target)
    for old in sorted(folder.glob("*.eml"))[:-OUTBOX_KEEPS]:  # ids sort by time
        old.unlink(missing_ok=True)
    return target.name


def _text(headers: Mapping[str, str], body: str, html: str | None) -> bytes:
    """The mail as it is sent. Headers that are empty are left out."""
    message = EmailMessage(policy=_POLICY)
    for name, value in headers.items():
        if value:
            message.set_raw(name, value)  # folded by us: up to Python 3.12 the library loses commas where it folds
    message.set_content(body)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


def _written(addresses: list[Address]) -> str:
    """Addresses as a header has them, one a line."""
    return ",\r\n ".join(_written_one(address) for address in addresses)


def _written_one(address: Address) -> str:
    name = address.display_name
    if not name:
        return address.addr_spec
    encoded = _encoded(name)
    if encoded == name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        encoded = f'"{quoted}"'
    return f"{encoded}\r\n <{address.addr_spec}>"


def _encoded(text: str) -> str:
    """Text as ASCII; what would look encoded is encoded too."""
    return text if text.isascii() and "=?" not in text else Header(text, "utf-8").encode(linesep="\r\n")


_POLICY = SMTP.clone(cte_type="7bit", refold_source="none")


# --- addresses ------------------------------------------------------------------------------------------------------


def _addresses(field: str, given: Given) -> list[Address]:
    texts = [] if given is None else [given] if isinstance(given, str) else given
    if len(texts) == 1:
        return [parse_address(field, texts[0])]
    return [parse_address(f"{field}[{at}]", text) for at, text in enumerate(texts)]


def parse_address(field: str, text: str) -> Address:
    """One address, such as `ann@example.com` or `Ann <ann@example.com>`. Raises DataError."""
    _check_line(field, text)
    found = _NAMED.fullmatch(text.strip())
    name, spec = (found["name"].strip(), found["spec"]) if found else ("", text.strip())
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, at, domain = spec.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain := _ascii(domain)):
        raise DataError(f"{field}: this is not an address; give several as a list")
    return Address(name, local, ascii_domain)


def _ascii(domain: str) -> str:
    try:
        return domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return ""


def _check_line(field: str, text: str) -> None:
    """A line break in a header would begin another header."""
    if _BREAKING.search(text):
        raise DataError(f"{field}: must be one line, without control characters")


def _sender(settings: Settings, given: Given) -> Address:
    """The sender of the settings, or the one that was given if they allow it."""
    usual = parse_address("BOLTQ_EMAIL_FROM", settings.email_from or "boltq@localhost")
    if not isinstance(given, str):
        return usual
    wanted = parse_address("from", given)
    allowed = {name.lower() for name in listed(settings.email_allowed_from)} | {usual.addr_spec.lower()}
    if not {wanted.addr_spec.lower(), wanted.domain.lower()} & allowed:
        raise DataError("from: not a sender that BOLTQ_EMAIL_ALLOWED_FROM names")
    return wanted


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}\Z){_ATOM}(\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<spec>[^<>]*)>")
_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
