"""What people do to jobs and queues, beside the model: they submit, cancel, replay, edit, pause."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from model.job import EDITABLE, ENDED, REACHED, WAITING, Job, must
from model.runs import Runs

from boltq.broker.verdicts import JobRef, JobVerdict
from boltq.domain.errors import Conflict, QueueFull, Refused
from boltq.domain.ids import PARTITION_CODES
from boltq.domain.job import NewJob, Submitted
from boltq.domain.limits import MAX_REPLAYS


class People(Runs):
    """Predicts what follows from each wish, and which are refused."""

    def make(self, partition: int = 0, **fields: Any) -> NewJob:
        job = NewJob(**{"type": "x", "queue": "q", **fields})
        if job.idempotency_key:
            partition = self.broker.layout.of_key(job.idempotency_key)
        job.id = job.id or self.new_id(partition)
        job.data = f'{{"n":{self.count}}}' if job.data == "{}" else job.data
        return job

    def submit(self, *batch: NewJob) -> list[Submitted | Refused]:
        answers = self.run(self.broker.submit(list(batch)))
        homes = dict.fromkeys(PARTITION_CODES.index(job.id[-2:]) for job in batch)
        for home in homes:
            self.read_clock(home)
            room: dict[str, int] = {}
            for new, answer in zip(batch, answers, strict=True):
                if PARTITION_CODES.index(new.id[-2:]) == home:
                    self._submitted(new, answer, room)
            self.read_mail(home)
        self.compare()
        return answers

    def _submitted(self, new: NewJob, answer: Submitted | Refused, room: dict[str, int]) -> None:
        partition = PARTITION_CODES.index(new.id[-2:])
        limit = self.limits.get(new.queue)
        if limit and new.queue not in room:
            waiting = [j for j in self.standing("queued", "scheduled") if j.queue == new.queue]
            room[new.queue] = limit - sum(j.partition == partition for j in waiting)
        used = self.keys.get(new.idempotency_key)
        if new.id in self.jobs:
            REACHED["EXISTS"] += 1
            must(answer == Submitted(new.id, created=False), f"{new.id} is there already: {answer}")
        elif used and used[1] == new.digest():
            REACHED["DUPLICATE"] += 1
            must(answer == Submitted(used[0], created=False), f"same key, same body: {answer}")
        elif used:
            REACHED["submit CONFLICT"] += 1
            must(isinstance(answer, Conflict), f"same key, other body: {answer}")
        elif limit and room[new.queue] <= 0:
            REACHED["FULL"] += 1
            must(isinstance(answer, QueueFull), f"the queue is full: {answer}")
        else:
            must(answer == Submitted(new.id), f"a new job: {answer}")
            room[new.queue] = room.get(new.queue, 0) - 1
            self._create(new)

    def _create(self, new: NewJob) -> None:
        job = Job(new.id, new.queue, new.priority, new.type, new.data, fresh=new, tags=list(new.tags))
        now = self.seen[job.partition]
        due = new.run_at or (now + new.delay if new.delay else 0)
        job.expires = new.expires_at or (now + new.expires_in if new.expires_in else 0)
        self.jobs[job.id] = job
        if new.idempotency_key:
            self.keys[new.idempotency_key] = (new.id, new.digest())
        if due > now:
            self.move(job, "scheduled")
            job.due = due
        else:
            self.move(job, "queued")
            self.to_tail(job)

    def cancel(self, *ids: JobRef) -> None:
        def cancelled(job: Job, verdict: JobVerdict) -> None:
            if job.state == "running":
                must(verdict.word == "running", f"cancel {job.id}: {verdict}")
                REACHED["cancel running"] += 1
                job.cancel = True
            elif job.state in {"completed", "dead"}:
                self._conflict("cancel", verdict, job)
            else:
                must(verdict.word == "cancelled", f"cancel {job.id}: {verdict}")
                if job.state != "cancelled":
                    self.move(job, "cancelled")

        self._judge("cancel", ids, self.run(self.broker.cancel(ids, "no need")), cancelled)

    def replay(self, *ids: JobRef) -> None:
        known = [self.jobs[i] for i in map(id_of, ids) if i in self.jobs]
        places = {job.id: self._stored(job, "ghost", "parked") for job in known}

        def replayed(job: Job, verdict: JobVerdict) -> None:
            if job.state not in {"dead", "cancelled"}:
                self._conflict("replay", verdict, job)
                return
            must(verdict.word == "queued", f"replay {job.id}: {verdict}")
            self.move(job, "queued")
            job.attempts, job.losses, job.cancel, job.expires = 0, 0, False, 0
            ghosts, parked = places[job.id]
            if (f"parked:{job.type}" if parked else f"ready:{job.priority}") not in ghosts.split():
                self.to_tail(job)

        self._judge("replay", ids, self.run(self.broker.replay(ids)), replayed)

    def run_now(self, *ids: JobRef) -> None:
        def queued(job: Job, verdict: JobVerdict) -> None:
            if job.state not in WAITING:
                self._conflict("run_now", verdict, job)
                return
            must(verdict.word == "queued", f"run_now {job.id}: {verdict}")
            self.move(job, "queued")
            self.to_tail(job)

        self._judge("run_now", ids, self.run(self.broker.run_now(ids)), queued)

    def delete(self, *ids: JobRef) -> None:
        def deleted(job: Job, verdict: JobVerdict) -> None:
            if job.state == "running":
                self._conflict("delete", verdict, job)
                return
            must(verdict.word == "deleted", f"delete {job.id}: {verdict}")
            REACHED[f"deleted {job.state}"] += 1
            left = self.raw.exists(*(self.key(job.partition, f"{kind}:{job.id}") for kind in ("job", "log", "runs")))
            must(not left, f"{left} keys of {job.id} are left")
            if job.state != "completed":
                self.keys = {key: used for key, used in self.keys.items() if used[0] != job.id}
            del self.jobs[job.id]
            self.gone.add(job.id)

        self._judge("delete", ids, self.run(self.broker.delete(ids)), deleted)

    def edit(self, job_id: str, **change: Any) -> None:
        def edited(job: Job, verdict: JobVerdict) -> None:
            if job.state not in EDITABLE:
                self._conflict("edit", verdict, job)
                return
            job.data = change.get("data", job.data)
            job.tags = change.get("tags", job.tags)
            self._rearrange(job, change.get("priority", job.priority), change.get("run_at"))
            must((verdict.word, verdict.state) == ("edited", job.state), f"edit {job_id}: {verdict}")

        self._judge("edit", [job_id], [self.run(self.broker.edit(job_id, **change))], edited)

    def _rearrange(self, job: Job, priority: int, run_at: int | None) -> None:
        other = priority != job.priority
        job.priority = priority
        later = run_at is not None and run_at > self.seen[job.partition]
        if job.state == "queued" and later:
            self.move(job, "scheduled")
            job.parked = False
        elif job.state == "queued" and other and not job.parked:
            self.to_tail(job)
        elif job.state in WAITING and run_at is not None and not later:
            self.move(job, "queued")
            self.to_tail(job)
        if later and run_at is not None:
            job.due = run_at

    def replay_as(self, old: str, new: NewJob, since: int = 0) -> None:
        home = PARTITION_CODES.index(old[-2:])
        new.id = new.id or self.new_id(home)
        verdict = self.run(self.broker.replay_as(old, new, since))
        self.read_clock(home)
        job, there = self.jobs.get(old), self.jobs.get(new.id)
        if there:
            word = "replayed" if there.replay_of == old else "CONFLICT"
            REACHED[f"replay_as again {word}"] += 1
            must(verdict == JobVerdict(new.id, word, there.state), f"replay {old} again: {verdict}")
        elif job is None:
            self._not_found("replay_as", verdict.word)
        elif since not in {0, job.since}:
            self._changed("replay_as", verdict, job)
        elif job.state not in ENDED:
            self._conflict("replay_as", verdict, job)
        elif verdict.word == "FULL":
            limit = self.limits.get(new.queue)
            waiting = [j for j in self.standing("queued", "scheduled") if (j.queue, j.partition) == (new.queue, home)]
            must(limit and len(waiting) >= limit, f"{new.queue} is not full")
            REACHED["replay_as FULL"] += 1
        else:
            self._create(new)
            made = self.jobs[new.id]
            must(verdict == JobVerdict(new.id, "replayed", made.state), f"replay {old}: {verdict}")
            made.replay_of = old
            job.replays = [*job.replays, new.id][-MAX_REPLAYS:]
        self._after({home})

    def _judge(
        self, verb: str, ids: Sequence[JobRef], verdicts: Sequence[JobVerdict], done: Callable[[Job, JobVerdict], None]
    ) -> None:
        """Go through the verdicts of a batch: what is refused for all verbs alike, and `done` for the rest."""
        fences = {id_of(item): item[1] if isinstance(item, tuple) else 0 for item in ids}
        touched: set[int] = set()
        for verdict in verdicts:
            job = self.jobs.get(verdict.id)
            self._touch(verdict.id, touched)
            if job is None:
                self._not_found(verb, verdict.word)
            elif fences[job.id] not in {0, job.since}:
                self._changed(verb, verdict, job)
            else:
                done(job, verdict)
        self._after(touched)

    def _stored(self, job: Job, *fields: str) -> list[str]:
        values: Any = self.raw.hmget(self.key(job.partition, f"job:{job.id}"), fields)
        return [(value or b"").decode() for value in values]

    def _touch(self, job_id: str, touched: set[int]) -> None:
        """A call has reached the partition of this id, whether it found the job or not."""
        home = PARTITION_CODES.index(job_id[-2:]) if job_id[:1].isdigit() else self.partitions
        if home < self.partitions and home not in touched:
            touched.add(home)
            self.read_clock(home)

    def _after(self, touched: Iterable[int]) -> None:
        for partition in range(self.partitions):
            self.read_clock(partition) if partition in touched else None
            self.read_mail(partition)
        self.compare()

    def _not_found(self, verb: str, word: str) -> None:
        must(word == "NOT_FOUND", f"{verb} of nothing: {word}")
        REACHED[f"{verb} NOT_FOUND"] += 1

    def _conflict(self, verb: str, verdict: JobVerdict, job: Job) -> None:
        must((verdict.word, verdict.state) == ("CONFLICT", job.state), f"{verb} {job.id} in {job.state}: {verdict}")
        REACHED[f"{verb} CONFLICT {job.state}"] += 1

    def _changed(self, verb: str, verdict: JobVerdict, job: Job) -> None:
        must((verdict.word, verdict.state) == ("CHANGED", job.state), f"{verb} {job.id} in {job.state}: {verdict}")
        REACHED[f"{verb} CHANGED"] += 1

    def pause(self, queue: str) -> None:
        self.run(self.broker.pause(queue))
        self.paused.add(queue)
        self.compare()

    def resume(self, queue: str) -> None:
        self.run(self.broker.resume(queue))
        self.paused.discard(queue)
        self._after(range(self.partitions))

    def limit(self, queue: str, most: int) -> None:
        self.run(self.broker.limit(queue, most))
        self.limits[queue] = -(-most // self.partitions)

    def progress(self, job: Job) -> None:
        item = (job.id, job.deliveries, 0.5, "half", ["a line"])
        refused = self.run(self.broker.progress(job.partition, job.holder, [item]))
        must(refused == ([] if job.state == "running" else [[0, "LEASE_LOST"]]), f"progress: {refused}")
        self.read_clock(job.partition)
        self.compare()


def id_of(item: JobRef) -> str:
    """The id of an item that may have a fence."""
    return item[0] if isinstance(item, tuple) else item
