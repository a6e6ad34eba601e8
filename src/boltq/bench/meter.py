"""A broker that measures each of its calls: how much processor time the server spent on it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.scripts import CALL_ERRORS, is_unknown, translate

T = TypeVar("T")

_PROBES: Final = 50
LOOP: Final = "fixed loop"  # what stands beside the scripts, to tell what the machine's other work does to all figures
_LOOP_TEXT: Final = "local t = {} for i = 1, 100000 do t[i % 100] = i end return 1"


class Spent(NamedTuple):
    """What one call has cost the server."""

    script: str
    what: str  # what it was used for
    ms: float


class Meter(Broker):
    """Sends each call between two looks at the clock of the server's own processor time.

    The three go together, so nothing of ours comes between; other clients of the server are counted in.
    """

    label = ""  # what the next calls are for
    _own = 0.0  # ms that a look costs by itself

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spent: list[Spent] = []

    async def calibrate(self) -> None:
        """Measure what measuring costs."""
        looks = [await self._metered("PING") for _ in range(_PROBES)]
        self._own = min(ms for _, ms in looks)

    async def send(self, call: Call[T]) -> T:
        """As the broker does, and note what it cost."""
        now = str(self.now()) if self.now else ""
        command = self.library.call(call.script, self.layout.prefix(call.partition), now, call.args)
        try:
            reply, ms = await self._metered(*command)
        except CALL_ERRORS as error:
            raise translate(error) from error
        if isinstance(reply, Exception):
            if is_unknown(reply):
                return await super().send(call)
            raise translate(reply)
        self.spent.append(Spent(call.script, self.label, max(0.0, ms - self._own)))
        return call.read(reply)

    async def raw(self, *command: Any) -> Any:
        """A command that is no call of a script, measured as well."""
        reply, ms = await self._metered(*command)
        self.spent.append(Spent(str(command[0]).lower(), self.label, max(0.0, ms - self._own)))
        return reply

    async def loop(self) -> None:
        """Work that is always the same."""
        _, ms = await self._metered("EVAL", _LOOP_TEXT, 0)
        self.spent.append(Spent(LOOP, "work that is always the same", max(0.0, ms - self._own)))

    async def _metered(self, *command: Any) -> tuple[Any, float]:
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.info("cpu")
            pipe.execute_command(*command)
            pipe.info("cpu")
            before, reply, after = await pipe.execute(raise_on_error=False)
        return reply, (_seconds(after) - _seconds(before)) * 1_000


def _seconds(info: Mapping[str, Any]) -> float:
    """Of the thread that runs the scripts, where the server tells it; the others write to disk meanwhile."""
    if "used_cpu_user_main_thread" in info:
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
