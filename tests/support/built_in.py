"""What the built-in job types need beside them: an application that has them, and a mail server."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP

from boltq import BoltQ
from boltq.tasks import add_to


def with_tasks(boltq_app: BoltQ, **settings: Any) -> BoltQ:
    """An application with the built-in tasks, on the same store."""
    app = BoltQ(settings=replace(boltq_app.settings, **settings))
    add_to(app)
    return app


@asynccontextmanager
async def post_office() -> AsyncIterator[tuple[int, list[EmailMessage]]]:
    """An SMTP server on loopback: its port, and the mails that it was given."""
    mails: list[EmailMessage] = []

    class Post:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            mails.append(read_mail(envelope.content))
            return "250 OK"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Post(), loop=loop), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], mails
    server.close()


def read_mail(content: bytes) -> EmailMessage:
    """A mail as it was sent."""
    return email.message_from_bytes(content, policy=email.policy.default)
