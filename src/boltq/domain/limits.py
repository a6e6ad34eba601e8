"""The bounds of a submission, and the names that are allowed. Everything is bounded and says so."""

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_RULE = "1 to 100 of A-Z a-z 0-9 . _ -, the first one a letter or a digit"

MAX_BATCH = 1_000  # items of one request
MAX_CALL = 500  # jobs of one call to the store, which answers no other call meanwhile
MAX_CALL_BYTES = 1 << 20  # of data in one call to the store, or one job's
MAX_ACTED = 250  # jobs that are cancelled, replayed, deleted, ... in one call: more would hold the store up for long
MAX_DATA_BYTES = 1 << 20
MAX_RESULT_BYTES = 1 << 20
MAX_BATCH_BYTES = 8 << 20  # of data in one request, and of results that one step refers to
MAX_DEPTH = 64
MAX_KEY_CHARS = 200  # an idempotency key
MAX_ATTEMPTS = 1_000
MAX_DELAY_SECONDS = 10 * 365 * 86_400
MAX_CLASS_CHARS = 200  # the name of an exception's class
MAX_ERROR_CHARS = 16_384  # a traceback keeps its end
MAX_MESSAGE_CHARS = 2_000
MAX_LOG_LINE_CHARS = 2_000
MAX_LOG_LINES = 1_000  # a job
MAX_PAGE = 200
MAX_TAGS = 10  # a job
MAX_TITLE_CHARS = 200  # a job's title
MAX_NAME_CHARS = 100  # the name of whoever submitted a job or paused a queue
MAX_REASON_CHARS = 500  # why a queue is paused
ID_MEMORY_MS = 120_000  # until an id is so old, the store remembers it when its job is gone
MAX_REMEMBERED = 500_000  # ids of jobs that are gone, a partition: about 30 MB
MAX_RUNS = 20  # past runs that are kept of a job
MAX_REPLAYS = 20  # ids of its replays that a job remembers

ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character; bytes that are no UTF-8 are decoded so, too
HALF = "has half of a character (a lone surrogate), which UTF-8 cannot hold"  # why a text is refused


def bad_name(name: object) -> str | None:
    """Why the name of a queue or a job type is refused; None when it is fine."""
    if isinstance(name, str) and NAME.fullmatch(name):
        return None
    return f"{name!r:.60} is not a name: use {NAME_RULE}"


def bad_text(text: object, most: int) -> str | None:
    """Why a line of text for people is refused; None when it is fine. It may be empty."""
    ok = isinstance(text, str) and len(text) <= most and text.isprintable()
    return None if ok else f"at most {most} printable characters"
