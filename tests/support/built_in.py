"""What the built-in job types need beside them: an application that has them, a site with a file, a mail server."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP
from sites import answer, running_site

from boltq import BoltQ
from boltq.tasks import add_to

CSV = b"city,kind,amount\nGhent,tea,3\nLille,tea,4\nGhent,oil,10\nBruges,oil,\n"
OPERATIONS = [
    {"op": "filter", "field": "amount", "is": "not empty"},
    {"op": "aggregate", "by": ["city"], "measures": [{"function": "sum", "field": "amount", "as": "total"}]},
    {"op": "sort", "by": "total", "descending": True},
]
"""What the file is made smaller by."""


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


@asynccontextmanager
async def surroundings(boltq_app, worker):
    """A site with the file, a mail server, and a worker that may reach both: application, site's URL, mails."""
    async with running_site() as site, post_office() as (port, mails):
        site.pages["/data.csv"] = answer(CSV, content_type="text/csv")
        site.pages["/gone.csv"] = answer(b"", "404 Not Found")
        app = with_tasks(
            boltq_app,
            fetch_allow="127.0.0.1/32",
            fetch_ports=str(site.port),
            smtp_url=f"smtp://127.0.0.1:{port}",
            email_from="reports@example.com",
        )
        async with app, worker(app):
            yield app, site.url, mails
