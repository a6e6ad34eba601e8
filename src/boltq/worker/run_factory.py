"""Makes runs of claimed jobs: whose task it is, how long it may take, how often it is tried again."""

from typing import Any

import msgspec

from boltq.app import BoltQ, Task
from boltq.domain.job import NO_SPEC, ClaimedJob, Spec
from boltq.worker.parents import ParentsOf
from boltq.worker.run import Run, Say
from boltq.worker.steps import control_task


class RunFactory:
    """Makes runs of claimed jobs, each by its own options, its task's and the settings."""

    def __init__(self, app: BoltQ, say: Say, parents_of: ParentsOf) -> None:
        self._app = app
        self._settings = app.settings
        self._say = say
        self._parents_of = parents_of
        self._specs = Specs()
        self._tasks: dict[str, Task[..., Any]] = {}  # by a job's route

    def run_of(self, partition: int, job: ClaimedJob, worker: str) -> Run:
        """The run of a job that this registration has claimed; its time begins now."""
        task = self._tasks.get(job.route) or self._find_task(job)
        spec, settings = self._specs.read(job.spec) if job.spec else NO_SPEC, self._settings
        timeout = spec.timeout or task.timeout_seconds or settings.job_timeout
        max_attempts = spec.max_attempts or task.retry.max_attempts or settings.max_attempts
        run = Run(partition, job, task, timeout, max_attempts, self._say, self._parents_of, settings.cleanup)
        run.worker = worker
        if spec is not NO_SPEC:
            run.is_step, run.headers = spec.step, spec.headers
            if spec.retry:
                run.retry = spec.retry.over(task.retry)
        return run

    def _find_task(self, job: ClaimedJob) -> "Task[..., Any]":
        task = self._tasks[job.route] = self._app.tasks.get(job.type) or control_task(self._app)
        return task


class Specs:
    """Reads the options of claimed jobs; most jobs have none, and few texts differ."""

    def __init__(self) -> None:
        self._known: dict[str, Spec] = {"": NO_SPEC}
        self._decode = msgspec.json.Decoder(Spec).decode

    def read(self, text: str) -> Spec:
        """The spec of that text."""
        spec = self._known.get(text)
        if spec is None:
            if len(self._known) > 1_000:  # noqa: PLR2004 - a bound, not a measure
                self._known = {"": NO_SPEC}
            spec = self._known[text] = self._decode(text)
        return spec
