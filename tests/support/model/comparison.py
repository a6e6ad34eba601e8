"""The store beside the model: every job, every count and every lease, and what the store did by itself."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from model.job import ENDED, KEEP, REACHED, WAITING, Job, must
from model.ledger import Ledger


class Comparison(Ledger):
    """Looks whether the store is as the model says."""

    _FIELDS = (
        "state", "n", "tries", "lost", "worker", "parked", "cancel", "since", "reason", "expires", "route", "data",
        "tags", "replay_of", "replays", "ghost",
    )  # fmt: skip

    def compare(self) -> None:
        """The store is as the model says, and the auditor finds nothing, when it is asked."""
        self.learn()
        self.audit_now_and_then()
        self._compare_counts()
        ends = {
            (home, name.decode()): end
            for home in range(self.partitions)
            for name, end in self.raw.zrange(self.key(home, "workers"), 0, -1, withscores=True)
        }
        must(ends == {key: worker.ends for key, worker in self.workers.items()}, f"the leases end at {ends}")

    def learn(self, partition: int | None = None) -> None:
        """Compare every job (of one partition); take in what the store did by itself, where it was allowed to."""
        jobs = [job for job in self.jobs.values() if partition in {None, job.partition}]
        pipeline = self.raw.pipeline(transaction=False)
        for job in jobs:
            pipeline.hmget(self.key(job.partition, f"job:{job.id}"), self._FIELDS)
            pipeline.zscore(self.key(job.partition, f"queue:{job.queue}:{job.state}"), job.id) if (
                job.state in WAITING
            ) else pipeline.echo("")
            pipeline.lrange(self.key(job.partition, f"runs:{job.id}"), 0, -1)
        rows = pipeline.execute()
        stored = {
            job.id: {k: (v or b"").decode() for k, v in zip(self._FIELDS, row, strict=True)}
            for job, row in zip(jobs, rows[::3], strict=True)
        }
        dues = dict(zip((job.id for job in jobs), rows[1::3], strict=True))
        runs = dict(zip((job.id for job in jobs), rows[2::3], strict=True))
        promoted = [j for j in jobs if j.state in WAITING and stored[j.id]["state"] not in {j.state, "running"}]
        for job in sorted(promoted, key=lambda job: (job.state, job.due, job.id)):
            must(job.due <= self.seen[job.partition], f"{job.id} is early: due at {job.due}, now {self.seen}")
            self.move(job, "queued")
            self.to_tail(job)
        self._learn_pruned([job for job in jobs if not stored[job.id]["state"]])
        for job in jobs:
            if job.id in self.jobs:
                self._compare_job(job, stored[job.id], dues[job.id])
                self._compare_runs(job, [msgspec.msgpack.decode(run) for run in runs[job.id]])

    def _learn_pruned(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            del self.jobs[job.id]
        for job in jobs:
            must(job.state in ENDED, f"{job.id} was {job.state} and is gone")
            most, age = KEEP[job.state]
            kept = [
                one.since
                for one in self.standing(job.state)
                if (one.partition, one.queue) == (job.partition, job.queue)
            ]
            too_old = self.seen[job.partition] - job.since > age
            must(too_old or len(kept) >= most, f"{job.id} was pruned, and {len(kept)} were kept")
            if not self.stepped:
                must(min(kept, default=job.since) >= job.since, f"{job.id} was pruned before older ones")
            REACHED["pruned by age" if too_old else "pruned by count"] += 1
            self.gone.add(job.id)

    def _compare_job(self, job: Job, row: dict[str, str], due: object) -> None:
        now = self.seen[job.partition]
        if job.state == "queued" and row["state"] == "cancelled" and row["reason"] == "expired":
            must(0 < job.expires <= now, f"{job.id} was expired before its time")
            REACHED["expired"] += 1
            self.move(job, "cancelled")
        must(row["state"] == job.state, f"{job.id} is {row['state']} in the store, {job.state} in the model")
        shown = [int(row[name] or 0) for name in ("n", "tries", "lost")]
        counted = [job.deliveries, job.attempts, job.losses]
        must(shown == counted, f"{job.id}: deliveries, attempts, losses are {shown}, not {counted}")
        if job.state == "running":
            must(row["worker"] == job.holder, f"{job.id} is held by {row['worker']}, not {job.holder}")
            must(bool(row["cancel"]) == job.cancel, f"{job.id}: cancel is {row['cancel']}")
        if job.state in WAITING:
            must(due == job.due, f"{job.id} is due at {due}, not {job.due}")
        must(int(row["since"]) == job.since, f"{job.id} stands so since {row['since']}, not {job.since}")
        must(int(row["expires"] or 0) == job.expires, f"{job.id} expires at {row['expires']}, not {job.expires}")
        job.parked = job.state == "queued" and bool(row["parked"])
        job.loose = job.loose or len(row["ghost"].split()) > (job.state == "cancelled")
        carried = (row["route"], row["data"], row["tags"], row["replay_of"], row["replays"])
        expected = (f"{job.queue} {job.priority} {job.type}", job.data, " ".join(job.tags), job.replay_of)
        must(carried == (*expected, " ".join(job.replays)), f"{job.id} carries {carried}, not {expected}")

    def _compare_runs(self, job: Job, runs: Sequence[Sequence[Any]]) -> None:
        shown = [(attempt, delivery, worker, outcome) for attempt, delivery, worker, _, _, outcome, _ in runs]
        must(shown == job.runs, f"{job.id}: its runs are {shown}, not {job.runs}")

    def _compare_counts(self) -> None:
        counted = Counter((job.queue, job.state) for job in self.jobs.values())
        queues = self.run(self.inspector.queues())
        must({job.queue for job in self.jobs.values()} <= {stats.name for stats in queues}, "a queue is not listed")
        for stats in queues:
            for state in ("queued", "running", "scheduled", "retrying", "completed", "dead", "cancelled"):
                shown, here = getattr(stats, state), counted[stats.name, state]
                must(shown == here, f"{stats.name}: {shown} {state}, and there are {here}")
            must(stats.paused == (stats.name in self.paused), f"paused: {stats}")
