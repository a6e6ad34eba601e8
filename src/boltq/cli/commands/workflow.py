"""`boltq workflow`: submits, lists, draws and explains workflows; steers them, and runs them again."""

import argparse
from typing import Final

from boltq.cli.options import add_json, add_place, count, past, seconds

_EXAMPLES: Final = """\
examples:
  boltq workflow submit report.json --wait
  boltq workflow submit report.json --dry-run        what would become of it
  boltq workflow submit flows.py --input '{"month": "2026-11"}'
  boltq workflow list --state running,failed
  boltq workflow show 01JZX4... --watch
  boltq workflow show 01JZX4... resize --state failed    which items, and why
  boltq workflow explain 01JZX4...
  boltq workflow rerun 01JZX4... --from sum --params sum='{"round": true}'
  boltq workflow approvals
  boltq workflow approve 01JZX4... check --by ann

`boltq workflow ACTION --help` says more of each."""

_SUBMIT: Final = """\
examples:
  boltq workflow submit report.json --input @november.json --key report-2026-11
  boltq workflow submit report.json --wait=60
  boltq workflow submit flows.py:nightly
  make-form | boltq workflow submit -

FILE is the JSON that POST /api/v1/workflows takes, or a Python program that has a Workflow (FILE.py:NAME, if it has
several), or module:name. With --wait, the output is printed; the exit code is 1 if the workflow has not completed."""

_RERUN: Final = """\
examples:
  boltq workflow rerun 01JZX4...                           what failed, and what waited for it
  boltq workflow rerun 01JZX4... --all
  boltq workflow rerun 01JZX4... --from sum --params sum='{"round": true}'

The results of the other steps are kept."""


_ACTIONS: Final = {
    "submit": "submit a workflow",
    "list": "list them, the newest first",
    "show": "draw a workflow and how its steps stand; or show one step with its inputs and result",
    "explain": "say why a workflow and its steps stand as they do",
    "approvals": "list the steps of all workflows that wait for a person",
    "cancel": "cancel what waits, and stop what runs",
    "pause": "begin no more steps; what runs goes on",
    "resume": "go on after a pause",
    "rerun": "run a workflow again that has ended, whole or in part",
    "approve": "say yes to an approval step; it may come before the step waits",
    "reject": "say no to an approval step; it may come before the step waits",
    "delete": "delete workflows that have ended, and their jobs, for ever",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, about in _ACTIONS.items():
        action = actions.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_own(name, action)
        add_place(action)
        add_json(action)


def _add_own(name: str, parser: argparse.ArgumentParser) -> None:
    match name:
        case "submit":
            _add_submit(parser)
        case "list":
            _add_list(parser)
        case "show":
            parser.add_argument("id", metavar="ID", help="the workflow's id")
            parser.add_argument("step", nargs="?", metavar="STEP", help="only this step, with the items of its map")
            parser.add_argument(
                "--state",
                help="of a map, items of these states (those that failed, if any did; else all); `all` shows all",
            )
            parser.add_argument("--limit", type=count, default=20, metavar="N", help="at most so many items (20)")
            parser.add_argument("--cursor", help="go on where an earlier page of items ended")
            parser.add_argument("--watch", action="store_true", help="go on until it has ended")
            parser.add_argument("--generation", type=count, metavar="N", help="as its first, second, ... run ended")
            parser.add_argument("--all", action="store_true", help="draw every step, however many there are")
        case "explain":
            parser.add_argument("id", metavar="ID", help="the workflow's id")
        case "approvals":
            parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
            parser.add_argument("--cursor", help="go on where an earlier page ended")
        case "rerun":
            _add_rerun(parser)
        case "approve" | "reject":
            _add_answer(parser)
        case _:
            parser.add_argument("ids", nargs="+", metavar="ID", help="a workflow's id")
            if name != "delete":
                parser.add_argument("--reason", help="why; it is noted")


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _SUBMIT
    parser.add_argument("file", metavar="FILE", help="the workflow; - for standard input")
    parser.add_argument("--input", metavar="JSON | @FILE", help="its input, instead of the one that stands in it")
    parser.add_argument("--key", metavar="KEY", help="an idempotency key: the same key again is the same workflow")
    parser.add_argument("--dry-run", action="store_true", help="only say what would become of it")
    parser.add_argument(
        "--wait",
        nargs="?",
        type=seconds,
        const=float("inf"),
        metavar="TIME",
        help="wait for the end, at most so long (exit code 4); print the output",
    )


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", help="running, completed, failed or cancelled; several with commas")
    parser.add_argument("--name", help="of this name only")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--nested", action="store_const", const=True, help="only sub-workflows")
    level.add_argument("--outermost", dest="nested", action="store_const", const=False, help="no sub-workflows")
    level.add_argument("--within", metavar="ID", help="only the sub-workflows of this workflow")
    parser.add_argument("--since", type=past, metavar="TIME", help="submitted since: 2h, 7d, a moment")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    parser.add_argument("--cursor", help="go on where an earlier page ended")


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _RERUN
    parser.add_argument("id", metavar="ID", help="the workflow's id")
    modes = parser.add_mutually_exclusive_group()
    for mode, about in (
        ("failed_only", "the steps that failed, and those that waited for them (this is the default)"),
        ("failed_and_downstream", "these, and all that come after them"),
        ("all", "every step"),
    ):
        modes.add_argument(f"--{mode.replace('_', '-')}", dest="mode", action="store_const", const=mode, help=about)
    modes.add_argument("--from", dest="from_step", metavar="STEP", help="this step, and all that come after it")
    parser.add_argument(
        "--params", action="append", default=[], metavar="STEP=JSON", help="other params for a step; once for each"
    )
    parser.add_argument("--reason", help="why; it is noted")


def _add_answer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the workflow's id")
    parser.add_argument("step", metavar="STEP", help="the approval step")
    parser.add_argument("--data", metavar="JSON", help="what the step results in")
    parser.add_argument("--by", metavar="NAME", help="who says so (the name of the key)")
    parser.add_argument("--reason", help="why; it is noted")


def run(args: argparse.Namespace) -> int:
    match args.action:
        case "submit":
            from boltq.cli.workflows import submit as workflow_submit

            return workflow_submit.run(args)
        case "list" | "show" | "explain" | "approvals":
            from boltq.cli.workflows import view as workflow_view

            return workflow_view.run(args)
    from boltq.cli.workflows import acts as workflow_acts

    return workflow_acts.run(args)
