"""Carries out a call of a script: sends it, and gives the library to a server that does not know it."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from redis import exceptions as redis_errors

from boltq.broker.call import Call
from boltq.broker.layout import Layout
from boltq.broker.scripts import CALL_ERRORS, Library, is_known, is_unknown, translate

T = TypeVar("T")
Clock = Callable[[], int]  # milliseconds; for tests


class Carrier:
    """What both brokers have in common."""

    layout: Layout
    library: Library
    now: Clock | None
    _execute: Callable[..., Awaitable[Any]]  # sends a command

    async def _carry_out(self, call: Call[T]) -> T:
        """The script's answer. Raises its refusal, StoreUnavailable or StoreFull."""
        now = str(self.now()) if self.now else ""
        command = self.library.call(call.script, self.layout.prefix(call.partition), now, call.args)
        try:
            return call.read(await self._execute(*command))
        except CALL_ERRORS as error:
            if not is_unknown(error):
                raise translate(error) from error
        try:
            await self._load()
            return call.read(await self._execute(*command))
        except CALL_ERRORS as error:
            raise translate(error) from error

    async def _load(self) -> None:
        try:
            await self._execute(*self.library.load())
        except redis_errors.ResponseError as error:
            if not is_known(error):
                raise


def at_once(carrying: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, without an event loop."""
    try:
        carrying.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    carrying.close()
    raise RuntimeError("it waits for an event loop")
