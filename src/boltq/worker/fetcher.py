"""One partition's line to the store: settles what has ended and claims into free room, in one round trip.

When there is nothing to do it waits: for a letter in the worker's mailbox, for an outcome, for the time of the next
scheduled job. It does not poll; once in a while it looks by itself, in case the one who should have been told is dead.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls import Claim, Settling
from boltq.domain.errors import BoltQError, StoreError
from boltq.domain.job import ClaimedJob
from boltq.worker.buffer import Buffer

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0  # seconds, without any reason to
MAIL_SECONDS: Final = 10.0
MOST_SETTLED: Final = 500  # of one call, which claims as many besides
LONGEST_PAUSE: Final = 2.0  # between tries while the store is away

_FIRST_PAUSE: Final = 0.05

_read_letter = msgspec.msgpack.Decoder(list[Any]).decode


class Outbox:
    """Outcomes on their way to the store; they stay here until it has answered."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._items: list[Settling] = []
        self._away: list[Settling] = []
        self._wake = wake

    def __len__(self) -> int:
        return len(self._items)

    def runs(self) -> list[tuple[str, int]]:
        """The runs, by id and delivery, whose outcomes are in it, or were taken last."""
        return [(item.id, item.delivery) for item in (*self._away, *self._items)]

    def put(self, item: Settling) -> None:
        """One more outcome."""
        self._items.append(item)
        self._wake()

    def take(self, most: int = MOST_SETTLED) -> list[Settling]:
        """The oldest ones."""
        taken, self._items = self._items[:most], self._items[most:]
        self._away = taken or self._away
        return taken

    def put_back(self, items: list[Settling]) -> None:
        """They could not be sent."""
        self._items = items + self._items


class Fetcher:
    """Claims and settles for one worker in one partition."""

    def __init__(self, broker: Broker, partition: int, buffer: Buffer, owner: "FetcherOwner") -> None:
        self.broker = broker
        self.partition = partition
        self.worker_id = ""  # its registration; another one after its lease was lost
        self.registrations = 0
        self._buffer = buffer
        self._owner = owner
        self._outage = broker.outage
        self._me, self._mail = f"claims of partition {partition}", f"mail of partition {partition}"
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self.wake = self._woken.set  # look again: there is an outcome, room, a letter
        self.outbox = Outbox(self.wake)
        self._reading: asyncio.Timeout | None = None  # while we wait for mail
        self._in_doubt = False  # an answer was lost: something may be ours that we do not know of
        self._suspect = False  # the last job that came has lost a worker before
        self._start = 0
        self._pause = self._mail_pause = 0.0
        self._look_at = 0.0
        self.claiming = True
        self.wish = ""  # what people want of this registration: "", "draining" or "stopping"
        self.wished_at = 0  # server ms
        self.closed = False

    async def run(self) -> None:
        """Settle and claim until closed."""
        while not self.closed:
            if not await self._take_turn() and not self.closed:
                await self._wait()

    def close(self) -> None:
        """End both loops, besides their being cancelled: redis-py may swallow a cancel that comes with a reply."""
        self.closed = True
        self.wake()

    async def flush(self) -> None:
        """Send what is in the outbox; claims nothing. Raises StoreUnavailable."""
        while self.outbox:
            await self._take_turn(alone=True)

    async def _take_turn(self, *, alone: bool = False) -> bool:
        """One round trip, if there is a reason for it. Answers whether another one may follow at once."""
        async with self._turn:
            want = 0 if alone else self._room()
            items = self.outbox.take()
            if not items and not want:
                return False
            worker_id = self.worker_id
            try:
                claim = await self._send(items, want)
            except StoreError as error:
                self.outbox.put_back(items)
                self._in_doubt = True
                self.read_anew()
                if alone:
                    raise
                await self._ride_out(error)
                return True
            except BaseException:
                self.outbox.put_back(items)
                raise
            if self._pause:
                self._pause = 0.0
                self._outage.up(self._me)
            self._accept(claim, want)
        if claim.unknown_worker and want:
            self._owner.lost(self.partition, worker_id)
        return bool(items) or bool(claim.jobs) or claim.more

    def _room(self) -> int:
        if not self.claiming or (self._suspect and len(self._buffer)):
            return 0
        return self._buffer.room()

    async def _send(self, items: list[Settling], want: int) -> Claim:
        self._start += 1
        if not items:
            return await self.broker.claim(self.partition, self.worker_id, want, self._start)
        settlement = await self.broker.settle(self.partition, self.worker_id, items, want, self._start)
        for index, word in settlement.refused:
            log.info("outcome refused", extra={"job_id": items[index].id, "verb": items[index].verb, "word": word})
        return settlement.claim

    def _accept(self, claim: Claim, want: int) -> None:
        self.take_in(claim.jobs, suspect=claim.suspect)
        if want and not claim.jobs:
            pause = LOOK_AGAIN * random.uniform(0.8, 1.2)  # noqa: S311 - spreads the lookers
            if claim.next_due:
                pause = min(pause, max(0.0, (claim.next_due - self._owner.server_ms()) / 1_000))
            self._look_at = asyncio.get_running_loop().time() + pause

    def take_in(self, jobs: list[ClaimedJob], *, suspect: bool = False) -> None:
        """Jobs that are ours now."""
        self._suspect = suspect
        if suspect and jobs:
            jobs[-1].suspect = True
        if not self.claiming:  # a letter that was on its way while we shut down
            self.release(jobs)
        elif jobs:
            self._buffer.add([(self.partition, job) for job in jobs])

    def release(self, jobs: Iterable[ClaimedJob]) -> None:
        """Hand back jobs that have not begun."""
        for job in jobs:
            self.outbox.put(Settling(job.id, job.delivery, "released", 0))

    async def _ride_out(self, error: StoreError) -> None:
        self._outage.down(self._me, error)
        self._pause = longer(self._pause)
        await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the callers

    async def _wait(self) -> None:
        """Until there is an outcome, room, a letter, or the time has come."""
        timer = asyncio.get_running_loop().call_at(self._look_at, self.wake) if self._idle() else None
        await self._woken.wait()
        self._woken.clear()
        if timer:
            timer.cancel()

    def _idle(self) -> bool:
        return self.claiming and self._buffer.room() > 0

    # The mailbox

    async def read_mail(self) -> None:
        """Take in what comes by mail, until closed."""
        while not self.closed:
            try:
                if self._in_doubt:
                    await self._recover()
                if self._mail_pause:  # that has just been answered
                    self._mail_pause = 0.0
                    self._outage.up(self._mail)
                async with asyncio.timeout(None) as self._reading:
                    letter = await self.broker.mail(self.partition, self.worker_id, MAIL_SECONDS)
            except (BoltQError, TimeoutError) as error:
                if not isinstance(error, TimeoutError):  # which is of our own making
                    self._outage.down(self._mail, error)
                    self._mail_pause = longer(self._mail_pause)
                self._in_doubt = True
                await asyncio.sleep(max(0.1, self._mail_pause) * random.uniform(0.5, 1))  # noqa: S311 - as above
                continue
            if letter:
                self._open(letter)

    def read_anew(self) -> None:
        """Do not wait for mail any longer: something was lost, or the mailbox is another one now."""
        if self._reading is not None and not self._reading.expired():
            reading, self._reading = self._reading, None
            with contextlib.suppress(RuntimeError):  # it has just ended
                reading.reschedule(asyncio.get_running_loop().time())

    def _open(self, letter: bytes) -> None:
        kind, *rest = _read_letter(letter)
        if kind == "jobs":
            rows, flag = rest
            known = self._owner.known(self.partition)  # a letter may come twice: read, and then found again in `held`
            jobs = [job for job in (ClaimedJob(*row) for row in rows) if (job.id, job.delivery) not in known]
            self.take_in(jobs, suspect=flag != 0)
            # As the store sees it we sleep no more. A short job's outcome changes that soon; for a long one we look.
            asyncio.get_running_loop().call_later(0.002, self.wake)
        elif kind == "cancel":
            self._owner.cancel(rest[0])
        elif kind == "wish":
            self._owner.wished(self.partition, *rest)
        else:
            self.wake()

    async def _recover(self) -> None:
        """An answer was lost on the way: give back what the store holds for us and we never got."""
        async with self._turn:
            letters, held = await self.broker.held(self.partition, self.worker_id)
            for letter in letters:
                self._open(letter)
            known = self._owner.known(self.partition)
            for job_id, delivery in held:  # not by the id alone: an outcome of an earlier delivery may still be here
                if (job_id, delivery) not in known:
                    self.outbox.put(Settling(job_id, delivery, "released", 0))
            self._in_doubt = False


def longer(pause: float) -> float:
    """The pause after that one, in seconds, while the store is away."""
    return min(LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)


class FetcherOwner:
    """What a fetcher asks of its worker."""

    def server_ms(self) -> float:
        """The server's clock, as well as we know it."""
        raise NotImplementedError

    def known(self, partition: int) -> set[tuple[str, int]]:
        """All jobs that wait, run or are being settled here, by id and delivery."""
        raise NotImplementedError

    def cancel(self, ids: list[str]) -> None:
        """Stop these, if they are here."""
        raise NotImplementedError

    def lost(self, partition: int, worker_id: str) -> None:
        """The registration is gone, and with it all that we held."""
        raise NotImplementedError

    def wished(self, partition: int, wish: str, at: int) -> None:
        """Somebody wants us to drain, to stop, or ("") to work as usual. May be told often."""
        raise NotImplementedError
