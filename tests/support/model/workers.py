"""How workers come, beat, die and leave, beside the model: leases, grace and what the reaper takes back."""

from collections.abc import Sequence

from model.job import HOLD, KNOBS, LEASE, REACHED, Broken, Job, Worker, must
from model.runs import Runs

from boltq.domain.errors import Conflict, LeaseLost, UnknownWorker
from boltq.domain.job import ClaimedJob


class Workers(Runs):
    """Predicts when each lease ends, and whose jobs are taken back."""

    def register(self, partition: int, queues: Sequence[str], types: set[str] | None) -> str:
        self.registrations += 1
        name = f"w{self.registrations}"
        known = None if types is None else sorted(types)
        call = self.broker.register(partition, name, info="{}", queues=queues, types=known, lease_ms=LEASE)
        self.run(call)
        now = self.read_clock(partition)
        self.workers[partition, name] = Worker(name, list(queues), types, now, now, now + LEASE, self.mono)
        self.compare()
        return name

    def register_again(self, partition: int, name: str) -> None:
        try:
            self.run(self.broker.register(partition, name, info="", queues=["q"], types=None, lease_ms=LEASE))
        except Conflict:
            REACHED["register CONFLICT"] += 1
            return
        raise Broken(f"{name} was registered twice")

    def extend(self, partition: int, name: str) -> None:
        worker = self.workers.get((partition, name))
        elapsed = self.mono - worker.beat_mono if worker else 0
        try:
            beat = self.run(self.broker.extend(partition, name, LEASE, elapsed))
        except UnknownWorker:
            must(worker is None, f"{name} is registered, and was refused")
            REACHED["UNKNOWN_WORKER"] += 1
            return
        if worker is None:
            raise Broken(f"{name} is not registered, and its lease was extended")
        clock_was_set = self.now < self.seen[partition] - HOLD
        now = self.read_clock(partition)
        here = [one for (home, _), one in self.workers.items() if home == partition]
        silence = self._silence(partition, worker, now)
        jumped = elapsed > 0 and now - worker.beat_at - elapsed > LEASE / 3
        if clock_was_set or max(one.ends for one in here) > now + LEASE:
            self._begin_leases_anew(partition, now)
        elif silence > LEASE * 2 / 3 or (jumped and silence > LEASE * 2 / 5):
            self._grant_grace(partition, now)
        worker.ends, worker.beat_at, worker.beat_mono, worker.graces = now + LEASE, now, self.mono, 0
        if elapsed > 0:
            self.heard[partition] = now
        stop = {job.id for job in self.held_by(partition, name) if job.cancel}
        must(set(beat.cancelled) == stop, f"{name} shall stop {stop}: {beat}")
        others = [one.ends for one in here if one is not worker]
        must(beat.first_end == min(others, default=0), f"first other end: {beat}, {sorted(others)}")
        self.read_mail(partition)
        self.compare()

    def _silence(self, partition: int, worker: Worker, now: int) -> int:
        """For how long nobody was heard, as far as this worker can say."""
        return now - max(self.heard[partition], worker.since if worker.since <= now else 0)

    def _grant_grace(self, partition: int, now: int) -> None:
        """A full lease for all; for those who were not heard since the last time a third of one; then nothing."""
        REACHED["grace"] += 1
        for (home, _), one in self.workers.items():
            if home == partition and one.graces < 2:
                one.ends = max(one.ends, now + (LEASE // 3 if one.graces else LEASE))
                one.beat_at = now
                one.graces += 1

    def _begin_leases_anew(self, partition: int, now: int) -> None:
        REACHED["leases anew"] += 1
        self.heard[partition] = now
        for (home, _), one in self.workers.items():
            if home == partition:
                one.ends, one.beat_at = now + LEASE, now

    def reap(self, partition: int, name: str) -> None:
        reaped = self.run(self.broker.reap(partition, name))
        clock_was_set = self.now < self.seen[partition] - HOLD
        now = self.read_clock(partition)
        asker = self.workers.get((partition, name))
        here = {key: one for key, one in self.workers.items() if key[0] == partition}
        was_away = partition in self.restarted and partition in self.known_run
        self.known_run.add(partition)
        self.restarted.discard(partition)
        if was_away:
            self._grant_grace(partition, now)
            must(reaped.taken_back == 0, "after a restart nobody is judged")
        elif asker and 0 <= now - asker.since < 2_000:
            must(reaped.taken_back == 0, "one that has just come takes nothing back")
        elif clock_was_set or max((one.ends for one in here.values()), default=0) > now + LEASE:
            self._begin_leases_anew(partition, now)
            must(reaped.taken_back == 0, "after the clock was set back nobody is judged")
        elif asker and self._silence(partition, asker, now) > LEASE * 2 / 3:
            self._grant_grace(partition, now)
            must(reaped.taken_back == 0, "after a time in which nobody was heard nobody is judged")
        elif asker and asker.ends < now:
            must(reaped.taken_back == 0, "who asks late judges nobody")
        else:
            for key in [key for key, one in here.items() if one.ends < now]:
                REACHED["reaped"] += 1
                del self.workers[key]
            orphans = [
                job
                for job in self.standing("running")
                if job.partition == partition and (partition, job.holder) not in self.workers
            ]
            must(reaped.taken_back == len(orphans), f"{len(orphans)} jobs are held by nobody: {reaped}")
            self._lose(orphans)
        self.read_mail(partition)
        self.compare()

    def _lose(self, jobs: Sequence[Job]) -> None:
        back = []
        for job in jobs:
            told = job.begun == job.deliveries
            if told or not job.losses:  # of a first loss nobody knows whether it had begun
                job.end_run("cancelled" if job.cancel else "lost")
                job.losses += 1
            else:
                REACHED["lost before it began"] += 1
            if job.cancel:
                self.move(job, "cancelled")
            elif told and job.losses >= KNOBS.poison_limit:
                REACHED["poison"] += 1
                self.move(job, "dead")
            else:
                self.move(job, "queued")
                back.append(job)
        self.to_head(*back)

    def begin(self, job: Job) -> None:
        """Its worker is about to call its function."""
        one = ClaimedJob(job.id, "", "", "", job.deliveries, 0, 0)
        self.run(self.broker.begin(job.partition, job.holder, one))
        job.begun = job.deliveries
        self.begin_late(job, job.deliveries - 1)

    def begin_late(self, job: Job, delivery: int) -> None:
        """A run that is over must not begin."""
        try:
            self.run(self.broker.begin(job.partition, job.holder, ClaimedJob(job.id, "", "", "", delivery, 0, 0)))
        except LeaseLost:
            REACHED["begin LEASE_LOST"] += 1
            return
        raise Broken(f"delivery {delivery} of {job} was let begin")

    def retire(self, partition: int, name: str, *, lost: bool) -> None:
        held = self.held_by(partition, name)
        began = [job.id for job in held if job.begun == job.deliveries and not lost]
        taken = self.run(self.broker.retire(partition, name, lost=lost, began=began))
        self.read_clock(partition)
        must(taken == len(held), f"{name} held {len(held)} and {taken} were taken back")
        self.workers.pop((partition, name), None)
        if lost:
            self._lose(held)
        else:
            for job in held:
                if job.id in began:
                    REACHED["handed back"] += 1
                    job.end_run("cancelled" if job.cancel else "handed_back")
                self.move(job, "cancelled" if job.cancel else "queued")
            self.to_head(*(job for job in held if job.state == "queued"))
        self.read_mail(partition)
        self.compare()

    def number(self, partition: int, worker: str, number: int) -> None:
        """A worker asks for what it holds, and gives up all that it asked before."""
        self.run(self.broker.held(partition, worker, number))

    def late_claim(self, partition: int, worker: str, number: int) -> None:
        """A claim that was given up arrives: it takes nothing."""
        reply = self.run(self.broker.claim(partition, worker, 1, 0, number))
        self.read_clock(partition)
        must((reply.jobs, reply.given_up >= number) == ([], True), f"{worker} had given up its claim {number}: {reply}")
        self.compare()

    def recover(self, partition: int, name: str) -> None:
        """What an answer that was lost has brought is in `held`, and is given back."""
        held = self.run(self.broker.held(partition, name)).runs
        jobs = self.held_by(partition, name) if (partition, name) in self.workers else []
        must(sorted(held) == sorted((job.id, job.deliveries) for job in jobs), f"{name} holds {held}")
        worker = self.workers.get((partition, name))
        lost = [job for job in jobs if worker and job.id in worker.lost]
        if lost and worker:
            REACHED["lost reply"] += 1
            worker.lost.clear()
            self.settle(partition, name, [self.outcome(job, "released") for job in lost])
