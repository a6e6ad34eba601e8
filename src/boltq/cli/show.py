"""What commands print: tables for people, lines with tabs for pipes, JSON for programs."""

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

# Escape sequences (ECMA-48), then whatever else a terminal would obey, and what reorders text.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_GAP: Final = "  "
_BREAKS: Final = re.compile(r"[\r\n\t]+")


def clean(text: object) -> str:
    """A text as one line, without anything that a terminal would obey: stored text comes from strangers."""
    return clean_lines(_BREAKS.sub(" ", str(text)))


def clean_lines(text: str) -> str:
    """The same for a text whose line breaks count."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Rows under headings: aligned in a terminal, separated by tabs elsewhere."""
    lines = [list(columns), *([clean("" if cell is None else cell) for cell in row] for row in rows)]
    if sys.stdout.isatty():
        lines = _aligned(lines, [column in right for column in columns])
    for line in lines:
        print("\t".join(line))


def _aligned(lines: list[list[str]], right: list[bool]) -> list[list[str]]:
    """Each line as one text. Only the last column is cut to fit: what is before it can be copied."""
    from rich.cells import cell_len, chop_cells

    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    rest = max(10, shutil.get_terminal_size().columns - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))

    def padded(cell: str, width: int, to_right: bool) -> str:  # noqa: FBT001 - one caller
        space = " " * (width - cell_len(cell))
        return space + cell if to_right else cell + space

    aligned = []
    for *cells, last in lines:
        cells.append(last if cell_len(last) <= rest else f"{chop_cells(last, rest - 1)[0]}…")
        aligned.append([_GAP.join(map(padded, cells, widths, right)).rstrip()])
    return aligned


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    shown = [(name, value) for name, value in pairs if value not in {None, ""}]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name:<{width}}  {clean(value)}")


def block(name: str, text: str) -> None:
    """A text of several lines under its name; nothing for an empty one."""
    if text:
        print(f"\n{name}:")
        for line in clean_lines(text).splitlines():
            print(f"  {line}")


def document(value: Any) -> None:
    """A value as one JSON document. Control characters are escaped in it, as JSON wants it."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    print(text if not sys.stdout.isatty() else _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def note(text: str) -> None:
    """A remark for people, beside the output."""
    print(clean(text), file=sys.stderr)


@contextmanager
def progressing() -> Iterator[Callable[[str], None]]:
    """What says on the terminal how far something is, in one line that is gone at the end."""
    shown = False

    def tell(text: str) -> None:
        nonlocal shown
        if sys.stderr.isatty():
            print(f"\r\x1b[K{clean(text)}", end="", file=sys.stderr, flush=True)
            shown = True

    try:
        yield tell
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def moment(at: int | None) -> str:
    """A time as the clock on the wall shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1_000)) if at else ""


def age(at: float | None, now: float) -> str:
    """How long ago, or how long until."""
    return "" if at is None else span(abs(now - at) / 1_000)


def millis(moment: datetime | None) -> int | None:
    """A moment in milliseconds since 1970."""
    return None if moment is None else round(moment.timestamp() * 1_000)


def between(moment: datetime, now: datetime) -> str:
    """How long ago, or how long until."""
    return span(abs((now - moment).total_seconds()))


def span(seconds: float) -> str:
    """A duration in its largest unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1_000:.0f} ms"
