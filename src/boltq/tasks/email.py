"""The job type `email`: send a mail by the server of the settings; without one, write it to a file."""

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from boltq.app import BoltQ
from boltq.domain.context import JobContext
from boltq.tasks.mail import MAX_RECIPIENTS, Mail, keep_in_outbox
from boltq.tasks.table import table_of

One = Annotated[str, Meta(max_length=500)]
Addresses = Annotated[
    One | Annotated[list[One], Meta(max_length=MAX_RECIPIENTS)] | None,
    Meta(
        description=f"An address, or a list; to, cc and bcc together at most {MAX_RECIPIENTS}",
        examples=["ann@example.com", ["Ann <ann@example.com>", "bob@example.com"]],
    ),
]
Subject = Annotated[str, Meta(description="One line", max_length=500, examples=["Hello from BoltQ"])]
Body = Annotated[str, Meta(description="As plain text", examples=["This is a test email from BoltQ"])]
Html = Annotated[
    str | None, Meta(description="The same as HTML, for programs that show it", examples=["<p>This is a test</p>"])
]
Sender = Annotated[One | None, Meta(description="Another sender than the one of the settings; they must allow it")]
Table = Annotated[
    list[dict[str, Any]] | None,
    Meta(description="Rows, which follow the body as a table of text", examples=[[{"city": "Ghent", "total": 13}]]),
]
ReplyTo = Annotated[One | None, Meta(description="Where answers go", examples=["support@example.com"])]


def add_email(app: BoltQ) -> None:
    """Register the task with an application."""

    @app.task
    async def email(  # noqa: PLR0913 - one parameter for each field of the data
        ctx: JobContext,
        *,
        subject: Subject,
        body: Body,
        to: Addresses = None,
        cc: Addresses = None,
        bcc: Addresses = None,
        html: Html = None,
        from_: Sender = None,
        reply_to: ReplyTo = None,
        table: Table = None,
        recipient: Addresses = None,
    ) -> dict[str, Any]:
        """Send a mail; without a mail server in the settings, write it to a file of the outbox."""
        settings = app.settings
        mail = Mail.of(
            settings,
            ctx.job_id,
            fields={"to": to, "recipient": recipient, "cc": cc, "bcc": bcc, "from": from_, "reply_to": reply_to},
            subject=subject,
            body=body if table is None else f"{body}\n\n{table_of(table)}\n".lstrip(),
            html=html,
        )
        if settings.smtp_url:
            from boltq.tasks.smtp import send  # noqa: PLC0415 - a worker that sends nothing need not load a client

            return await send(mail, settings.smtp_url, ctx)
        return _kept(mail, settings.outbox_path, ctx)


def _kept(mail: Mail, outbox: Path, ctx: JobContext) -> dict[str, Any]:
    name = keep_in_outbox(mail, outbox, ctx.job_id)
    ctx.log(f"no mail server is set: written to {name} in the outbox, not sent")
    return {"sent": False, "outbox": name, "message_id": mail.message_id, "recipients": len(mail.recipients)}
