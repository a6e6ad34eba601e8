"""One partition's line to the store: settles what has ended and claims into free room, in one round trip.

When there is nothing to do it waits: for a letter in the worker's mailbox, for an outcome, for the time of the next
scheduled job. It does not poll; once in a while it looks by itself, in case the one who should have been told is dead.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls.workers import Claim
from boltq.broker.marks import Mark
from boltq.broker.scripts import UNCOUNTED
from boltq.broker.settling import Settling
from boltq.domain.errors import BoltQError, Conflict, StoreError, StoreFault
from boltq.domain.happenings import JobsClaimed, JobsDelivered
from boltq.domain.job import ClaimedJob
from boltq.domain.limits import MAX_CALL_BYTES
from boltq.telemetry.listeners import Listeners
from boltq.worker.buffer import Buffer

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0  # seconds, after which a worker claims though nothing has woken it
MAIL_SECONDS: Final = 10.0
MOST_SETTLED: Final = 250  # outcomes that one call settles; it claims as many jobs besides
LONGEST_PAUSE: Final = 2.0  # between tries while the store is away

UNKNOWN: Final = "unknown"  # what became of a run: its worker did not know of it
_FIRST_PAUSE: Final = 0.05

_read_letter = msgspec.msgpack.Decoder(list[Any]).decode


class Outbox:
    """Outcomes on their way to the store, by the registration that claimed their jobs; here until it has answered."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._items: dict[str, list[Settling]] = {}
        self.away: list[Settling] = []  # taken by the last `take`: the store may have them already
        self._wake = wake

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def runs(self) -> list[tuple[str, int]]:
        """The runs, by id and delivery, whose outcomes are in it."""
        return [(item.id, item.delivery) for items in list(self._items.values()) for item in list(items)]

    def put(self, item: Settling, worker_id: str) -> None:
        """Add an outcome."""
        items = self._items.get(worker_id)
        if items is None:
            self._items[worker_id] = [item]
            self._wake()  # for the first one only: whoever takes outcomes goes on until none is left
        else:
            items.append(item)

    def take(self) -> tuple[str, list[Settling]]:
        """A registration, and its oldest outcomes: as many as fit into one call."""
        for worker_id, items in self._items.items():
            most = _fitting(items)
            if len(items) > most:
                self._items[worker_id] = items[most:]
            else:
                del self._items[worker_id]
            self.away = items[:most]
            return worker_id, self.away
        return "", []

    def put_back(self, worker_id: str, items: list[Settling]) -> None:
        """Put back outcomes that could not be sent."""
        if items:
            self._items[worker_id] = items + self._items.get(worker_id, [])


def _fitting(items: list[Settling]) -> int:
    """How many of these outcomes fit into one call, by their number and their bytes; the first always fits."""
    size = 0
    for n, item in enumerate(items[:MOST_SETTLED]):
        size += len(item.text) + len(item.data)
        if size > MAX_CALL_BYTES and n:
            return n
    return min(len(items), MOST_SETTLED)


class Fetcher:
    """Claims and settles for one worker in one partition."""

    def __init__(
        self,
        broker: Broker,
        partition: int,
        buffer: Buffer,
        owner: "FetcherOwner",
        listeners: Listeners,
        *,
        patience: float = 1.5,
    ) -> None:
        self.patience = patience  # for how many seconds the store's count of our jobs may differ from ours
        self.broker = broker
        self.partition = partition
        self.worker_id = ""  # its registration; another one after its lease was lost
        self.registrations = 0
        self._buffer = buffer
        self._owner = owner
        self._listeners = listeners
        self._outage = broker.outage
        self._me, self._mail = f"claims of partition {partition}", f"mail of partition {partition}"
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self.wake = self._woken.set  # called when there is an outcome, room or a letter
        self.outbox = Outbox(self.wake)
        self._reading: asyncio.Timeout | None = None  # while we wait for mail
        self._in_doubt = False  # an answer was lost: we may have jobs that we do not know of
        self._suspect = False  # the last job that came has lost a worker before
        self._start = 0
        self._number = time.time_ns() // 1_000_000  # of our last call; higher than those of a namesake that is gone
        self._box = ""  # the number of our mailbox
        self._era = ""  # of the store's history: see lua/lib/history.lua
        self._differs_since = 0.0  # since when the store thinks that we have more jobs than we know, or fewer
        self._check_at = 0.0  # when to ask the store again
        self._missing: set[tuple[str, int]] = set()  # jobs that we have, and that the store did not list as ours
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

    def join(self, worker_id: str) -> None:
        """Work under this registration from now on."""
        self.worker_id, self._box = worker_id, ""
        self._differs_since, self._missing = 0.0, set()

    def close(self) -> None:
        """End both loops, besides their being cancelled: redis-py may swallow a cancel that comes with a reply."""
        self.closed = True
        self.wake()

    async def idle(self) -> None:
        """Wait until the turn that is under way has ended: the jobs that it brings go back in order."""
        async with self._turn:
            pass

    async def flush(self) -> None:
        """Send what is in the outbox; claims nothing. Raises StoreUnavailable."""
        while self.outbox:
            await self._take_turn(alone=True)

    async def _take_turn(self, *, alone: bool = False) -> bool:
        """One round trip, if there is a reason for it. Answers whether another one may follow at once."""
        async with self._turn:
            worker_id = self.worker_id
            whose, items = self.outbox.take()
            ours = not items or whose == worker_id
            want = self._room() if ours and not alone else 0
            if not items and not want and not self._is_time_to_check():
                return False
            sent = time.monotonic()
            try:
                claim = await self._send(whose or worker_id, items, want)
            except StoreError as error:
                if isinstance(error, StoreFault):
                    items = await self._send_singly(whose, items)
                self.outbox.put_back(whose, items)
                self._doubt()
                if alone:
                    raise
                await self._ride_out(error)
                return True
            except BaseException:
                self.outbox.put_back(whose, items)
                raise
            if self._pause:
                self._pause = 0.0
                self._outage.up(self._me)
            if ours and worker_id == self.worker_id:
                self._accept(claim, want)
            if want and self._listeners.present:
                self._listeners.announce(JobsClaimed(self.partition, want, len(claim.jobs), time.monotonic() - sent))
        if claim.unknown_worker and want:
            self._owner.lost(self.partition, worker_id)
        return bool(items) or bool(claim.jobs) or claim.more or claim.given_up > 0

    def _room(self) -> int:
        if not self.claiming or (self._suspect and len(self._buffer)):
            return 0
        return min(MOST_SETTLED, self._buffer.room())

    async def _send(self, worker_id: str, items: list[Settling], want: int) -> Claim:
        self._start, self._number = self._start + 1, self._number + 1
        if not items and want:
            return await self.broker.claim(self.partition, worker_id, want, self._start, self._number)
        settlement = await self.broker.settle(self.partition, worker_id, items, want, self._start, self._number)
        for index, word in settlement.refused:
            log.info("outcome refused", extra={"job_id": items[index].id, "verb": items[index].verb, "word": word})
        return settlement.claim

    async def _send_singly(self, whose: str, items: list[Settling]) -> list[Settling]:
        """What cannot be stored of one job must not hold up all others: it is dropped. Answers what is left to send."""
        for place, item in enumerate(items):
            try:
                await self._send(whose, [item], 0)
            except StoreFault as error:
                log.error("the outcome of job %s cannot be stored, and is lost: %s", item.id, error)  # noqa: TRY400
            except StoreError:
                return items[place:]
        return []

    def _accept(self, claim: Claim, want: int) -> None:
        self._number = max(self._number, claim.given_up)
        self._hear_of_era(claim.mark)
        self.take_in(claim.jobs, suspect=claim.suspect)
        self.compare(claim.holds, claim.mark)
        if want and not claim.jobs and not claim.given_up:
            pause = LOOK_AGAIN * random.uniform(0.8, 1.2)  # noqa: S311 - spreads the lookers
            if claim.next_due:
                pause = min(pause, max(0.0, (claim.next_due - self._owner.server_ms()) / 1_000))
            self._look_at = asyncio.get_running_loop().time() + pause

    def take_in(self, jobs: list[ClaimedJob], *, suspect: bool = False, by_mail: bool = False) -> None:
        """Take in jobs that are ours now. After the store went back in time, some of them may be here already."""
        if by_mail or self._in_doubt or self._missing:
            known = self._owner.known(self.partition)
            if by_mail:  # a letter may come twice: read, and then found again in `held`
                known.update((item.id, item.delivery) for item in self.outbox.away)
            jobs = [job for job in jobs if (job.id, job.delivery) not in known]
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
            self.outbox.put(Settling(job.id, job.delivery, "released", 0), self.worker_id)

    # Whether the store and this worker agree on what it has

    def compare(self, holds: int, mark: Mark) -> None:
        """Compare the store's count of our jobs with ours. If they differ for a while, ask for the whole list.

        They may differ for a moment: a letter is on its way, or the store does not know yet what a step does.
        """
        self._hear_of_era(mark)
        if holds == UNCOUNTED or holds == self._owner.count(self.partition):
            self._differs_since = self._check_at = 0.0
            return
        now = asyncio.get_running_loop().time()
        if not self._differs_since:
            self._differs_since, self._check_at = now, now + self.patience
            self.wake()  # so that the loop waits until `_check_at`
        elif now - self._differs_since >= self.patience:
            self._differs_since = self._check_at = 0.0
            self._doubt()

    def miss(self, runs: Iterable[tuple[str, int]]) -> None:
        """A beat has answered that these runs are not ours, though we may have them."""
        if strange := self._owner.known(self.partition).intersection(runs) if runs else None:
            self._missing |= strange
            self._doubt()

    def _hear_of_era(self, mark: Mark) -> None:
        """In another era, jobs that we have may be another worker's, or be given to us again."""
        if mark.era != self._era:
            before, self._era = self._era, mark.era
            if before:
                self._doubt()

    def _is_time_to_check(self) -> bool:
        return 0 < self._check_at <= asyncio.get_running_loop().time()

    def _doubt(self) -> None:
        self._in_doubt = True
        self.read_anew()

    async def _ride_out(self, error: StoreError) -> None:
        self._outage.down(self._me, error)
        self._pause = longer(self._pause)
        await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311 - spreads the callers

    async def _wait(self) -> None:
        """Wait until there is an outcome, room or a letter, or until it is time to claim."""
        times = [self._look_at] if self._idle() else []
        times += [self._check_at] if self._check_at else []
        timer = asyncio.get_running_loop().call_at(min(times), self.wake) if times else None
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
                    letter = await self.broker.mail(self.partition, self.worker_id, MAIL_SECONDS, self._box)
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
            jobs, flag = rest
            if self._listeners.present:
                self._listeners.announce(JobsDelivered(self.partition, len(jobs)))
            self.take_in([ClaimedJob(*row) for row in jobs], suspect=flag != 0, by_mail=True)
            # The store believes that we are awake now. We claim in a moment, so that it knows again if we sleep.
            asyncio.get_running_loop().call_later(0.002, self.wake)
        elif kind == "cancel":
            self._owner.cancel(rest[0])
        elif kind == "wish":
            self._owner.wished(self.partition, *rest)
        else:
            self.wake()

    async def _recover(self) -> None:
        """Give back jobs that the store lists as ours and we do not know; stop runs that are not ours any more.

        Jobs are compared by id and delivery: an outcome of an earlier delivery may still be here. A run must be missing
        from the list twice before it is stopped: its outcome may have reached the store a moment ago.
        """
        async with self._turn:
            worker_id = self.worker_id
            held = await self._ask_what_we_hold(worker_id)
            if held is None or worker_id != self.worker_id:
                return
            known = self._owner.known(self.partition)
            for job_id, delivery in held - known:
                self.outbox.put(Settling(job_id, delivery, "released", 0, 0, UNKNOWN), worker_id)
            if strange := held - known:
                log.warning(
                    "the store had given this worker jobs that never arrived: they go back",
                    extra={"jobs": len(strange), "first": min(strange)[0]},
                )
            lost = (known - held) & self._missing
            self._missing = known - held - lost
            if lost:
                log.warning(
                    "this worker had jobs that are not its own as the store sees it: it lets go of them",
                    extra={"jobs": len(lost), "first": min(lost)[0]},
                )
                self._owner.disown(self.partition, lost)
            self._in_doubt = False
        self.wake()  # the store hands us nothing before we claim again

    async def _ask_what_we_hold(self, worker_id: str) -> set[tuple[str, int]] | None:
        """Our jobs as the store sees them; None when we are to ask again, or to register anew. Opens the letters."""
        held: set[tuple[str, int]] = set()
        where = ""
        while True:
            self._number += 1
            try:
                portion = await self.broker.held(self.partition, worker_id, self._number, where, len(held))
            except Conflict as error:  # it has heard of a newer number
                self._number = max(self._number, int(str(error)))
                return None
            if not portion.known:
                self._in_doubt = False
                self._owner.lost(self.partition, worker_id)
                return None
            if not where:
                self._box = str(self._number)
                for letter in portion.letters:
                    self._open(letter)
            held.update(portion.runs)
            where = portion.more
            if not where:
                return held


def longer(pause: float) -> float:
    """The pause after that one, in seconds, while the store is away."""
    return min(LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)


class FetcherOwner(Protocol):
    """What a fetcher asks of its worker, and tells it."""

    def server_ms(self) -> float:
        """The server's clock, as well as we know it."""

    def known(self, partition: int) -> set[tuple[str, int]]:
        """All jobs that wait, run or are being settled here, by id and delivery."""

    def count(self, partition: int) -> int:
        """How many those are; quickly."""

    def disown(self, partition: int, runs: set[tuple[str, int]]) -> None:
        """Drop or stop these runs: they are not ours as the store sees it."""

    def cancel(self, ids: list[str]) -> None:
        """Stop these, if they are here."""

    def lost(self, partition: int, worker_id: str) -> None:
        """The registration is gone, and with it all that we held."""

    def wished(self, partition: int, wish: str, at: int) -> None:
        """Somebody wants us to drain, to stop, or ("") to work as usual. May be told often."""
