"""The job type `fetch_data`: get a document over HTTP, and read it as CSV, JSON or text."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from boltq.app import BoltQ
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.outcome import DataError
from boltq.tasks.addresses import Reach
from boltq.tasks.reading import Format, format_of, json_of, rows_of, text_of

if TYPE_CHECKING:
    from boltq.tasks.http_get import HttpReply

Url = Annotated[
    str,
    Meta(
        description="What to get: http or https, a public address",
        examples=["https://example.com/data.csv"],
        extra_json_schema={"format": "uri"},
    ),
]
Headers = Annotated[
    dict[str, str],
    Meta(
        description="Headers to send; to another host than the first one go only the harmless ones",
        examples=[{"Authorization": "Bearer …"}],
    ),
]
As = Annotated[Format, Meta(description="What it is; auto: as its content type says", examples=["csv"])]
Patience = Annotated[float, Meta(description="How long all of it may take", gt=0, le=300, examples=[30])]
Size = Annotated[int, Meta(description="How large it may be, unpacked", ge=1, le=MAX_RESULT_BYTES, examples=[100_000])]
Delimiter = Annotated[
    str | None,
    Meta(description="Between the cells of a line of CSV; by default a comma, or what the type says", examples=[";"]),
]
Numbers = Annotated[bool, Meta(description="Whether CSV cells that look like numbers are numbers; else all are text")]
Encoding = Annotated[
    str | None, Meta(description="Of the text; by default what the answer says, else UTF-8", examples=["windows-1252"])
]


def add_fetch_data(app: BoltQ) -> None:
    """Register the task with an application."""

    @app.task
    async def fetch_data(
        url: Url,
        headers: Headers = {},  # noqa: B006 - it is not changed
        format: As = "auto",
        timeout_seconds: Patience = 30.0,
        max_bytes: Size = MAX_RESULT_BYTES,
        delimiter: Delimiter = None,
        numbers: Numbers = False,  # noqa: FBT002 - a field of the job's data
        encoding: Encoding = None,
    ) -> dict[str, Any]:
        """Get a document over HTTP and read it: CSV as rows, JSON as a value, anything else as text."""
        from boltq.tasks import http_get  # noqa: PLC0415 - a worker that fetches nothing need not load a client

        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n '):
            raise DataError("delimiter: one character, and no quote, space or line break")
        reach = Reach.of(app.settings)
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await http_get.get(url, headers, reach=reach, max_bytes=max_bytes)
        except TimeoutError:
            raise TimeoutError(f"not done within timeout_seconds={timeout_seconds:g}") from None
        wanted = format_of(answer.content_type, answer.url.path) if format == "auto" else format
        between = delimiter or ("\t" if _is_tabbed(answer.content_type, answer.url.path) else ",")
        return {
            "status": answer.status,
            "url": answer.url.shown,
            "content_type": answer.content_type,
            "format": wanted,
            "bytes": len(answer.body),
            **await asyncio.to_thread(_read, answer, wanted, between, encoding, numbers=numbers),
        }


def _read(
    answer: "HttpReply", wanted: Format, delimiter: str, encoding: str | None, *, numbers: bool
) -> dict[str, Any]:
    text = text_of(answer.body, answer.content_type, encoding)
    if wanted == "json":
        return {"json": json_of(text)}
    return {"rows": rows_of(text, delimiter, numbers=numbers)} if wanted == "csv" else {"text": text}


def _is_tabbed(content_type: str, path: str) -> bool:
    return content_type.lower().startswith("text/tab-separated-values") or path.lower().endswith(".tsv")
