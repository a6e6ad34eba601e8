"""What can be a task: functions, methods of objects, partials, objects that can be called; and what cannot."""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def plain_function(found: Any, name: str | None) -> Callable[..., Any]:
    """The callable that is registered as a task. Raises TypeError, with the task's name, for what cannot be a task."""
    if isinstance(found, str) and name is None:
        raise TypeError(f"{found:.100}: a task's name is given as app.task(name=...)")
    function = found.__func__ if isinstance(found, staticmethod) else found
    task = name or getattr(function, "__name__", None) or type(function).__name__
    if isinstance(function, classmethod) or not callable(function):
        raise TypeError(f"task {task}: a {type(function).__name__} cannot be called")
    if name is None and not hasattr(function, "__name__"):
        kind = type(function).__name__
        raise TypeError(f"task {task}: a {kind} has no name of its own: give it one, app.task(name=...)")
    if any(inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called) for called in _called(function)):
        raise TypeError(f"task {task}: a generator is not a task: return a list, or submit a job for each item")
    return function


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine; partials and objects with an async `__call__` are seen through."""
    return any(map(inspect.iscoroutinefunction, _called(function)))


def home_of(function: Callable[..., Any]) -> str:
    """The module in which the function was written."""
    inner = _inmost(function)
    return str(getattr(inner, "__module__", None) or type(inner).__module__)


def replaces(new: Callable[..., Any], old: Callable[..., Any]) -> bool:
    """Whether a function is a registered one that was defined again: its module was reloaded, or its cell was rerun."""
    home = home_of(new)
    if home != home_of(old):
        return False
    return _name_of(new) == _name_of(old) or (home == "__main__" and _is_interactive())


def _is_interactive() -> bool:
    """Whether Python runs as a prompt or notebook, where definitions come one by one and replace each other."""
    return hasattr(sys, "ps1") or not hasattr(sys.modules.get("__main__"), "__file__")


def _inmost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _called(function: Any) -> tuple[Any, Any]:
    """The function itself and, for a callable object, the method that a call runs."""
    inner = _inmost(function)
    return inner, None if isinstance(inner, type) else getattr(type(inner), _CALL, None)


_CALL = "__call__"  # linters take getattr with the word itself for a test whether something can be called


def _name_of(function: Any) -> str:
    inner = _inmost(function)
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)
