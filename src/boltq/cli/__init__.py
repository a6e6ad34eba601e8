"""The command line: `boltq COMMAND`. One file a command; a command's file is loaded when it is called."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

COMMANDS: Final = {
    "dev": "start everything in this terminal: a store, a worker and the API",
    "api": "run the API",
    "worker": "run jobs",
    "submit": "submit a job, or many",
    "status": "show a job",
    "cancel": "cancel jobs",
    "run-now": "queue scheduled and retrying jobs before their time",
    "jobs": "list jobs",
    "queues": "show the queues; pause, resume and limit them",
    "dead": "list, show and replay the dead letters",
    "workers": "list the workers",
    "doctor": "check the store, and what is in it",
    "bench": "measure this machine",
}

EXIT_CODES: Final = """\
exit codes:
  0  done
  1  refused or failed; for doctor: something is wrong
  2  the command line or a setting cannot be used
  3  the store cannot be reached or used
  4  submit --wait: the waiting ended before the job did"""

_EXAMPLES: Final = """\
start here:
  boltq dev                                       everything, in this terminal
  boltq submit echo message="Hello World" --wait  in another one

Without REDIS_ADDR, BoltQ runs a Valkey of its own; its data are in .boltq (BOLTQ_DATA).
`boltq COMMAND --help` has examples of each command."""


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command line; its exit code."""
    words = sys.argv[1:] if words is None else words
    name = words[0] if words and words[0] in COMMANDS else ""
    module = _load(name) if name else None
    args = _parser(name, module).parse_args(words)
    if module is None:
        return 0
    try:
        code: int = module.run(args)
        sys.stdout.flush()
    except BaseException as error:
        from boltq.cli import failures

        code = failures.tell(error)
    return code


def _load(name: str) -> ModuleType:
    return import_module(f"boltq.cli.{name.replace('-', '_')}")


def _parser(chosen: str, module: ModuleType | None) -> argparse.ArgumentParser:
    """Knows every command by name, and of the chosen one its arguments."""
    parser = argparse.ArgumentParser(
        prog="boltq",
        description="BoltQ: a distributed task queue on Valkey and Redis.",
        epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen and module:
            module.add_arguments(command)
            command.epilog = "\n\n".join(filter(None, [command.epilog, EXIT_CODES]))
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: that takes longer than all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"boltq {metadata.version('boltq')}")
        parser.exit()
