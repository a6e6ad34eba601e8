"""Arguments that several commands take, and how their texts are read."""

import argparse
import time
from datetime import datetime
from typing import TYPE_CHECKING

from boltq.domain.workflow.durations import seconds_in

if TYPE_CHECKING:
    Actions = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - the type has no other name


def add_json(parser: argparse.ArgumentParser, *, default: object = False) -> None:
    """For programs. A subcommand's default is `argparse.SUPPRESS`: the command's own counts."""
    parser.add_argument("--json", action="store_true", default=default, help="print one JSON document")


def add_place(parser: argparse.ArgumentParser, *, default: object = None) -> None:
    """Where the jobs are. A subcommand's default is `argparse.SUPPRESS`: the command's own counts."""
    parser.add_argument("--url", default=default, help="ask this API, not the store (BOLTQ_URL)")
    parser.add_argument("--token", default=default, help="a key or token for it (BOLTQ_TOKEN, which others cannot see)")


def add_ids(parser: argparse.ArgumentParser) -> None:
    """Which jobs, where they are, and how to say what became of them."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    add_place(parser)
    add_json(parser)


def add_action(actions: "Actions", name: str, about: str) -> argparse.ArgumentParser:
    """A subcommand; what its help says in a list begins its own page."""
    return actions.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")


def seconds(text: str) -> float:
    """A duration: 90, 90s, 5m, 2h, 1d, 1h30m."""
    try:
        return seconds_in(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: use 90, 90s, 5m, 2h, 1d or 1h30m") from None


def moment(text: str) -> datetime | float:
    """A time: RFC 3339 with its zone, or unix seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r}: give a time with its zone, such as 2030-01-31T09:30:00Z")
    return found


def past(text: str) -> datetime | float:
    """A moment, or how long ago: 2h, 7d, 2030-01-31T09:30:00Z."""
    if text[:1].isdigit() and text[-1:].isalpha() and text[-1:] != "Z":
        return time.time() - seconds(text)
    return moment(text)


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
