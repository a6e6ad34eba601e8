"""What a worker does with jobs, beside the model: it claims, opens its mail and settles."""

from collections.abc import Sequence
from typing import Any

import msgspec
from model.comparison import Comparison
from model.job import KEEP, REACHED, WAITING, Job, Worker, must

from boltq.broker.calls.workers import Claim
from boltq.broker.settling import Settling
from boltq.domain.ids import PARTITION_CODES
from boltq.domain.job import ClaimedJob


class Runs(Comparison):
    """Predicts which jobs a claim brings, and what an outcome makes of a job."""

    def claim(
        self, partition: int, worker: str, n: int, start: int = 0, *, lose_reply: bool = False
    ) -> list[ClaimedJob]:
        reply = self.run(self.broker.claim(partition, worker, n, start))
        now = self.read_clock(partition)
        self._claimed(partition, worker, n, start, reply, now)
        if lose_reply:
            self.workers[partition, worker].lost |= {job.id for job in reply.jobs}
        self.read_mail(partition)
        self.compare()
        return reply.jobs

    def _claimed(self, partition: int, name: str, n: int, start: int, reply: Claim, now: int) -> None:
        worker = self.workers.get((partition, name))
        if worker is None:
            if n:
                REACHED["claim UNKNOWN"] += 1
            must(reply.unknown_worker == bool(n) and not reply.jobs, f"{name} is not registered, and got {reply}")
            return
        if not n:
            must(not reply.jobs, f"asked for nothing and got {reply}")
            return
        self._take(partition, worker, n, start, reply.jobs, reply.suspect, now)
        if reply.jobs:
            worker.idle = 0
        else:
            worker.idle = n
            queues = [queue for queue in worker.queues if queue not in self.paused]
            dues = [j.due for j in self.standing(*WAITING) if j.partition == partition and j.queue in queues]
            must(reply.next_due == min(dues, default=0), f"the next is due at {min(dues, default=0)}: {reply}")

    def _take(
        self, partition: int, worker: Worker, n: int, start: int, claimed: Sequence[ClaimedJob], suspect: bool, now: int
    ) -> None:
        """The jobs of one claim: the right ones, in the right order, and no more and no fewer."""
        left, taken = list(claimed), 0
        must(len(claimed) <= n, f"asked for {n} and got {len(claimed)}")
        for turn in range(len(worker.queues)):
            queue = worker.queues[(start + turn) % len(worker.queues)]
            if queue in self.paused or taken >= n or (suspect and not left):
                continue
            self.promote(partition, queue, now)
            ready = [
                job
                for job in self.standing("queued")
                if job.partition == partition and job.queue == queue and worker.knows(job)
                and not 0 < job.expires <= now
            ]  # fmt: skip
            got = []
            while left and self.jobs[left[0].id].queue == queue:
                got.append(left.pop(0))
            jobs = [self.jobs[one.id] for one in got]
            must(all(job in ready for job in jobs), f"{[j.id for j in jobs if j not in ready]} could not be claimed")
            parked = [job for job in ready if job.parked]
            first = [job for job in jobs if job.parked]
            must(jobs[: len(first)] == first, "parked jobs come first")
            lined = sorted((job for job in ready if not job.parked), key=lambda job: (-job.priority, job.rank))
            then, fair = _order(jobs[len(first) :], lined)
            must(then == fair, f"out of turn: {then}, not {fair}; {len(first)} were parked; {[j.id for j in jobs]}")
            taken += len(jobs)
            if taken < n and not (suspect and not left):
                must(len(jobs) == len(ready), f"{[j.id for j in ready if j not in jobs]} were left behind")
            elif then:
                must(len(first) == len(parked), "parked jobs were left behind")
            for one in got:
                self._run(worker, one, now)
        must(not left, f"{[one.id for one in left]} come from queues that were not asked")
        self._check_suspects(claimed, suspect=suspect)

    def _check_suspects(self, claimed: Sequence[ClaimedJob], *, suspect: bool) -> None:
        losses = [self.jobs[one.id].losses > 0 for one in claimed]
        must(not any(losses[:-1]), "a suspect is the last job of its claim")
        must(suspect == bool(losses and losses[-1]), f"suspect: {suspect}, {losses}")
        if suspect:
            REACHED["suspect"] += 1

    def _run(self, worker: Worker, one: ClaimedJob, now: int) -> None:
        job = self.jobs[one.id]
        waited = max(0, now - job.since) if job.since <= self.seen[job.partition] else 0
        self.move(job, "running")
        job.deliveries += 1
        job.holder, job.parked = worker.id, False
        shown = (one.delivery, one.attempts, one.data, one.queue, one.type, one.waited)
        expected = (job.deliveries, job.attempts, job.data, job.queue, job.type, waited)
        must(shown == expected, f"{one.id} was handed out as {shown}, not {expected}")

    # Mail

    def read_mail(self, partition: int) -> None:
        """Open all letters, as the workers would, and do what they ask for."""
        looking: list[Worker] = []
        while True:
            letters = [
                (worker, msgspec.msgpack.decode(letter))
                for (home, name), worker in self.workers.items()
                if home == partition
                for letter in self._letters(partition, name)
            ]
            self._open_letters(partition, letters)
            looking += [worker for worker, (kind, *_) in letters if kind == "look"]
            if not looking:
                return
            worker = looking.pop()
            if n := worker.idle:
                REACHED["look"] += 1
                self.learn(partition)
                reply = self.run(self.broker.claim(partition, worker.id, n))
                self._claimed(partition, worker.id, n, 0, reply, self.read_clock(partition))

    def _open_letters(self, partition: int, letters: Sequence[tuple[Worker, list[Any]]]) -> None:
        # With several sleepers, we do not know who was asked first, nor what the others parked on the way.
        here = [worker for (home, _), worker in self.workers.items() if home == partition]
        exact = sum(worker.idle > 0 for worker in here) == 1 and all(worker.types is None for worker in here)
        for worker, (kind, *rest) in letters:
            if kind == "jobs":
                self._handed(partition, worker, [ClaimedJob(*row) for row in rest[0]], rest[1] == 2, exact=exact)
            elif kind == "cancel":
                for job_id in rest[0]:
                    job = self.jobs[job_id]
                    must(job.cancel and job.holder == worker.id, f"{worker.id} was told to stop {job_id}")

    def _letters(self, partition: int, worker: str) -> list[bytes]:
        key = self.key(partition, f"mail:{worker}")
        pipeline = self.raw.pipeline()
        pipeline.lrange(key, 0, -1)
        pipeline.delete(key)
        letters: list[bytes] = pipeline.execute()[0]
        return letters

    def _handed(
        self, partition: int, worker: Worker, jobs: Sequence[ClaimedJob], suspect: bool, *, exact: bool
    ) -> None:
        REACHED["handed"] += 1
        now = self.seen[partition]
        must(worker.idle >= len(jobs) > 0, f"{worker.id} sleeps for {worker.idle} and was handed {len(jobs)}")
        must(worker.ends >= now, f"{worker.id} was handed jobs, and its lease is over")
        if exact:
            self._take(partition, worker, worker.idle, 0, jobs, suspect, now)
        else:
            for one in jobs:
                job = self.jobs[one.id]
                if job.state in WAITING:
                    self.promote(partition, job.queue, now)
                fit = job.state == "queued" and worker.knows(job) and not 0 < job.expires <= now
                must(fit and job.queue not in self.paused, f"{one.id} ({job.state}) was handed to {worker.id}")
                self._run(worker, one, now)
            self._check_suspects(jobs, suspect=suspect)
        worker.idle = 0

    # Settling

    def settle(self, partition: int, worker: str, outcomes: Sequence[Settling], n: int = 0) -> list[ClaimedJob]:
        reply = self.run(self.broker.settle(partition, worker, outcomes, n))
        now = self.read_clock(partition)
        refused = dict(reply.refused)
        ended = set()
        for index in range(len(outcomes) - 1, -1, -1):
            one = outcomes[index]
            word = self._refusal(one, worker)
            must(refused.get(index) == word, f"{one.id} {one.verb}: {refused.get(index)}, not {word}")
            if word:
                REACHED[f"settle {word}"] += 1
            else:
                job = self.jobs[one.id]
                self._settled(job, one, now)
                ended.add((job.queue, job.state))
        # What expires is cancelled by the claim, when the history was shortened already.
        before = {state: {j.id for j in self.standing(state)} for state in KEEP}
        self._claimed(partition, worker, n, 0, reply.claim, now)
        self.read_mail(partition)
        self.compare()
        for queue, state in ended & {(queue, state) for queue, _ in ended for state in KEEP}:
            still = (j for j in self.standing(state) if j.id in before[state])
            kept = sum(j.queue == queue and j.partition == partition for j in still)
            must(kept <= KEEP[state][0], f"{kept} {state} jobs are kept")
        return reply.jobs

    def _refusal(self, one: Settling, worker: str) -> str | None:
        job = self.jobs.get(one.id)
        if job is None:
            return "NOT_FOUND"
        its = job.state == "running" and job.deliveries == one.delivery and job.holder == worker
        return None if its else "LEASE_LOST"

    def _settled(self, job: Job, one: Settling, now: int) -> None:
        verb, began = one.verb, one.verb != "dropped"
        if verb == "released":
            began = bool(one.text)
        if job.cancel and verb in {"retrying", "snoozed", "released"}:
            verb = "cancelled"
        if began and verb != "completed":
            job.end_run({"snoozed": verb, "cancelled": verb, "released": one.text}.get(verb, "failed"))
        self.move(job, {"snoozed": "scheduled", "released": "queued", "dropped": "cancelled"}.get(verb, verb))
        if verb in {"completed", "retrying", "dead"}:
            job.attempts += 1
        if verb in {"retrying", "dead", "snoozed"}:
            job.losses = 0
        if verb in {"retrying", "snoozed"}:
            job.due = now + one.number
        if verb == "released":
            self.to_head(job)

    def outcome(self, job: Job, verb: str, number: int = 0) -> Settling:
        """An outcome of the run that is on its way."""
        text = {"completed": "1", "retrying": "{}", "dead": "{}", "cancelled": "because", "dropped": "because"}.get(
            verb, ""
        )
        if verb == "handed back":
            verb, text = "released", "handed_back"
        return Settling(job.id, job.deliveries, verb, 3, number, text)

    def settle_stale(self, one: Settling, worker: str = "") -> None:
        """An outcome of a run that is over, or of another worker: refused, and nothing changes in the store."""
        partition = PARTITION_CODES.index(one.id[-2:])
        worker = worker or (self.jobs[one.id].holder if one.id in self.jobs else "") or "nobody"
        must(self._refusal(one, worker), "this outcome is not stale")
        self.run(self.broker.settle(partition, worker, []))  # so that the clock in the store is this moment's
        self.read_clock(partition)
        before = self.raw.execute_command("DEBUG", "DIGEST")
        self.settle(partition, worker, [one])
        must(self.raw.execute_command("DEBUG", "DIGEST") == before, "a refused outcome has changed something")


def _order(taken: Sequence[Job], lined: Sequence[Job]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(priority, rank) of the jobs that were taken, and of those whose turn it was; of loose ones the priority only."""
    shown = [[(-job.priority, job.rank) for job in jobs if not job.loose] for jobs in (taken, lined)]
    classes = [[(-job.priority, 0) for job in jobs] for jobs in (taken, lined)]
    return shown[0] + classes[0], shown[1][: len(shown[0])] + classes[1][: len(taken)]
