"""Expected failures: each is one line on standard error, with a hint, and an exit code. Others keep their traceback."""

import os
import sys
import traceback
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_STORE: Final = 3
STILL_WAITING: Final = 4
INTERRUPTED: Final = 130  # what shells say of a program that Ctrl-C ended


class CommandFailed(Exception):
    """A command cannot do what it was asked for; the message says why and what to do."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def report(error: BaseException) -> int:
    """Say what went wrong; the exit code. Raises what nobody expected."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # `boltq jobs | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    found = known(error)
    if found is None:
        raise error
    code, text = found
    complain(text)
    return code


def known(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the line of an error that is expected to happen; None for a mistake of ours."""
    from boltq.broker.embedded import EmbeddedError
    from boltq.client.errors import Unauthorized
    from boltq.domain.errors import BoltQError, InvalidJob, StoreError
    from boltq.settings import BadSetting

    match error:
        case CommandFailed(code=code):
            return code, str(error)
        case BadSetting() | InvalidJob():
            return USAGE, str(error)
        case Unauthorized():
            return FAILED, "the API does not know who you are: give a key, or its token, with BOLTQ_TOKEN or --token"
        case EmbeddedError() | StoreError():
            return NO_STORE, f"{error}{_hint(error)}"
        case BoltQError():
            return FAILED, str(error)
        case _:
            return _by_class(error)


def _hint(error: BaseException) -> str:
    from boltq.client.errors import ServerUnavailable
    from boltq.domain.errors import StoreUnavailable

    match error:
        case ServerUnavailable():
            return " (does the API run there? `boltq api` starts one)"
        case StoreUnavailable():
            return " (does the store run? `boltq doctor` looks)"
        case _:
            return ""


def complain(text: str) -> None:
    """One line on standard error."""
    from boltq.cli.show import clean
    from boltq.domain.redaction import redacted

    print(f"boltq: {clean(redacted(text))}", file=sys.stderr)


def trace(error: BaseException) -> None:
    """The traceback of an error in the user's own code, without our frames."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__", "").startswith(("boltq.", "importlib")):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


def _by_class(error: BaseException) -> tuple[int, str] | None:
    """Classes that are known only where the module that raises them is loaded already."""
    server = sys.modules.get("boltq.server.serve")
    if server and isinstance(error, server.CannotListen):
        return FAILED, str(error)
    if type(error).__module__ == "redis.exceptions":  # such as NOPERM: a login that may not do what we need
        return NO_STORE, f"the store refuses: {error}"
    return None
