"""`boltq doctor`: checks the server behind the store, and then every job in it."""

import argparse
from typing import TYPE_CHECKING, Final

from boltq.cli.options import add_json

if TYPE_CHECKING:
    from boltq.broker.checks import Check
    from boltq.cli.session import Session

_EXAMPLES = """\
examples:
  boltq doctor
  REDIS_ADDR=valkey:6379 boltq doctor --json
  boltq doctor --quick

✓ is fine, ! is worth a look, ✗ is wrong. The exit code is 1 when something is wrong; with --strict, also when something
is worth a look. The audit reads every job and changes nothing; on a live system it looks three times at what seems
wrong."""

_MARKS: Final = {"ok": "✓", "warning": "!", "failed": "✗"}
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("--quick", action="store_true", help="leave out the audit")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings, too")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything."""
    from boltq.cli.session import with_store

    return with_store(lambda session: _examine(session, args))


async def _examine(session: "Session", args: argparse.Namespace) -> int:
    from boltq.broker.checks import BAD, WARN, checks_of
    from boltq.cli import show

    checks = []
    with show.progressing() as tell:
        async for check in checks_of(session.broker, session.settings, quick=args.quick, tell=tell):
            checks.append(check)
            tell("")
            if not args.json:
                _print(check)
    states = {check.state for check in checks}
    bad = BAD in states or (args.strict and WARN in states)
    if args.json:
        show.document({"ok": not bad, "checks": [check._asdict() for check in checks]})
    return int(bad)


def _print(check: "Check") -> None:
    from rich.console import Console
    from rich.text import Text

    from boltq.cli.show import clean

    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(_MARKS[check.state], style=_COLOURS[check.state]) + Text(f" {check.name}: {clean(check.text)}"))
    if check.hint:
        console.print(Text(f"  → {clean(check.hint)}"))
