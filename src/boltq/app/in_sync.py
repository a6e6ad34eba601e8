"""A method of asynchronous code for synchronous code too: written once, with its types."""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class RunsSync(Protocol):
    """What has a loop in a thread on which it can wait for a coroutine."""

    def _run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T: ...


S = TypeVar("S", bound=RunsSync)


def in_sync(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[S, P], T]:
    """The method that waits for one of asynchronous code. A class has them side by side."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            work = method(self, *args, **kwargs)
        except TypeError as error:  # wrong arguments: nothing of the method has run yet
            raise TypeError(str(error).replace(method.__qualname__, call.__qualname__, 1)) from None
        return self._run_sync(work)

    call.__name__, call.__qualname__ = f"{method.__name__}_sync", f"{method.__qualname__}_sync"
    call.__doc__ = f"`{method.__name__}` from synchronous code."
    del call.__wrapped__  # who unwraps a function, as FastAPI does, would take this one for a coroutine function
    call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return call
