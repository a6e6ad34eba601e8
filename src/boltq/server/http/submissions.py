"""What submitting a job and submitting a workflow have in common."""

from typing import Annotated, ClassVar, Final

import msgspec

from boltq.domain import limits
from boltq.server.http.guard import Headers
from boltq.server.http.mistakes import Mistakes

Key = Annotated[
    str,
    msgspec.Meta(
        description="what has the same key is done once",
        extra_json_schema={"minLength": 1, "maxLength": limits.MAX_KEY_CHARS, "pattern": "^[ -~]+$"},
    ),
]
SUBMIT_PROBLEMS: Final = ("too-large", "conflict", "queue-full", "store-full")
NO_LONGER_KEPT: Final = "it was submitted before, and its record is no longer kept: how it ended is not known"


class SubmitQuery(msgspec.Struct):
    """How to take a submission."""

    APART: ClassVar = ("dry_run",)  # the description has calls of their own for that, since they answer something else

    dry_run: Annotated[bool, msgspec.Meta(description="only say what would become of it")] = False


def read_key(stated: str | None, headers: Headers, mistakes: Mistakes) -> str:
    """The idempotency key: of the header, or what the body states; never of both when they differ. "" for none."""
    header = stated_key(headers)
    if header is None and stated is None:
        return ""
    if None not in {header, stated} and header != stated:
        mistakes.append(("/idempotency_key", "differs from the Idempotency-Key header"))
    key = (stated if header is None else header) or ""
    if not key:
        mistakes.append(("/idempotency_key", "must not be empty"))
    return key


def stated_key(headers: Headers) -> str | None:
    """What the header Idempotency-Key says, without the quotes that its draft standard asks for."""
    stated = headers.get(b"idempotency-key")
    if stated is None:
        return None
    text = stated.decode("latin-1")
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text
