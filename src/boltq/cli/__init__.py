"""The command line: `boltq COMMAND`.

A command is a file in commands/, loaded when it is called: its add_arguments() says what it takes, its run() does it
and answers the exit code.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from boltq.cli.words import Parser
from boltq.domain.limits import SURROGATE

COMMANDS: Final = {
    "dev": "start everything in this terminal: a store, a worker and the API",
    "api": "run the API",
    "worker": "run jobs",
    "submit": "submit a job, or many",
    "status": "show a job",
    "logs": "print what a job has written",
    "cancel": "cancel jobs",
    "run-now": "queue scheduled and retrying jobs before their time",
    "retry": "queue dead, cancelled and retrying jobs now",
    "replay": "queue a job again that has ended, with edits if you like",
    "edit": "change jobs that wait",
    "delete": "delete jobs for ever",
    "jobs": "list jobs",
    "queues": "show the queues; pause, resume, limit and empty them",
    "dead": "list, show, group and replay the dead letters",
    "bulk": "cancel, replay, run or delete many jobs at once",
    "workflow": "submit, draw and steer workflows; run them again",
    "workers": "list the workers; have them drain or stop",
    "keys": "make, list and revoke API keys",
    "doctor": "check the store, and what is in it",
    "bench": "measure this machine",
    "load": "load a running API with jobs over HTTP: the performance test",
}

EXIT_CODES: Final = """\
exit codes:
  0  done
  1  refused or failed; for doctor: something is wrong
  2  the command line or a setting cannot be used
  3  the store, or the API at --url, cannot be reached or used
  4  submit --wait: the waiting ended before the job, or the workflow, did"""

_EXAMPLES: Final = """\
start here:
  boltq dev                                       everything, in this terminal
  boltq submit echo message="Hello World" --wait  in another one

Without REDIS_ADDR, BoltQ runs a Valkey of its own; its data are in .boltq (BOLTQ_DATA).
With --url (BOLTQ_URL), commands ask an API elsewhere; its token or key is BOLTQ_TOKEN.
`boltq COMMAND --help` has examples of each command."""


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command line; its exit code."""
    words = sys.argv[1:] if words is None else words
    if not words or words[0] not in COMMANDS:
        _overview().parse_args(words)  # says what there is, or what is wrong
        return 2
    module = import_module(f"boltq.cli.commands.{words[0].replace('-', '_')}")
    parser = _parser(words[0], module)
    if bad := next(filter(SURROGATE.search, words), None):
        parser.error(f"{bad.encode('utf-8', 'replace').decode()!r:.80} is not UTF-8: set the terminal to that encoding")
    args = parser.words(words[1:])
    try:
        code: int = module.run(args)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the one place
        from boltq.cli import failures

        return failures.report(error)
    return code


def _overview() -> argparse.ArgumentParser:
    """Knows every command by its name only."""
    parser = Parser(
        prog="boltq",
        description="BoltQ: a distributed task queue on Valkey and Redis.",
        epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        commands.add_parser(name, help=about)
    return parser


def _parser(name: str, module: ModuleType) -> Parser:
    """Knows one command."""
    about = COMMANDS[name]
    parser = Parser(
        prog=f"boltq {name}",
        description=f"{about[0].upper()}{about[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.epilog = "\n\n".join(filter(None, [parser.epilog, EXIT_CODES]))
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: that takes longer than all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"boltq {metadata.version('boltq')}")
        parser.exit()
