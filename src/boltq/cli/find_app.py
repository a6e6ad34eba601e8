"""Finds the application that `module:app` names, and says what is wrong with a name that leads nowhere."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from boltq.app import BoltQ
from boltq.cli.failures import USAGE, CommandFailed, trace

BUILT_IN = "boltq.tasks:app"


def find_app(name: str) -> BoltQ:
    """The application. Raises CommandFailed."""
    module_name, _, attribute = name.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise CommandFailed(f"{name!r} is a path: give the module's name, such as {dotted}:app", USAGE)
    module = module_of(module_name)
    found = apps_of(module)
    if not attribute and len(found) == 1:
        return next(iter(found.values()))
    app = vars(module).get(attribute)
    if isinstance(app, BoltQ):
        return app
    raise CommandFailed(_nothing_there(name, module_name, attribute, found, app), USAGE)


def apps_of(module: ModuleType) -> dict[str, BoltQ]:
    """The applications that stand in a module, by name."""
    return {name: value for name, value in vars(module).items() if isinstance(value, BoltQ)}


def module_of(module_name: str) -> ModuleType:
    """The module of that name, which may be in the current folder. Raises CommandFailed."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not _exists(module_name):
        raise CommandFailed(f"no module {module_name!r} in {here} or where Python looks: is it spelled so?", USAGE)
    try:
        return import_module(module_name)
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        trace(error)
        raise CommandFailed(f"the module {module_name!r} cannot be imported: see above", USAGE) from None


def _exists(module_name: str) -> bool:
    try:
        return bool(module_name) and find_spec(module_name) is not None
    except (ImportError, ValueError):  # its package is not there
        return False


def _nothing_there(name: str, module_name: str, attribute: str, found: dict[str, BoltQ], app: object) -> str:
    if not attribute:
        problem = f"{name!r} names no application"
    elif app is None:
        problem = f"the module {module_name!r} has no {attribute!r}"
    else:
        problem = f"{name!r} is a {type(app).__name__}, not a BoltQ application"
    if not found:
        return f"{problem}, and no other one: write `app = BoltQ()` in it"
    return f"{problem}; it has {', '.join(f'{module_name}:{known}' for known in sorted(found))}"
