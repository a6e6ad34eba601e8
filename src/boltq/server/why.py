"""Why a job stands where it stands, in a sentence: what holds it up, and until when where that is known."""

from collections.abc import Callable, Sequence

import msgspec

from boltq.broker.inspector import Inspector, QueuePlace, QueueStats, WorkerRecord
from boltq.domain.job import JobRecord
from boltq.domain.job_error import Category, error_of
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.moments import rfc3339
from boltq.server.presence import nobody_serves
from boltq.server.views.common import WhyView


class Surroundings(msgspec.Struct):
    """What a job finds in its queue."""

    queue: QueueStats
    workers: Sequence[WorkerRecord]
    place: QueuePlace | None = None

    def obstacles(self, job_type: str) -> list[WhyView]:
        """What keeps jobs of a type from being started, the nearest reason first."""
        found = []
        if self.queue.paused:
            by = f" by {self.queue.paused_by}" if self.queue.paused_by else ""
            reason = f": {self.queue.paused_reason}" if self.queue.paused_reason else ""
            found.append(WhyView(code="queue_paused", text=f"queue {self.queue.name} is paused{by}{reason}"))
        if not self.serving():
            found.append(WhyView(code="no_worker", text=nobody_serves(self.queue.name)))
        elif not self.knowing(job_type):
            text = f"no live worker of queue {self.queue.name} knows the job type {job_type}"
            found.append(WhyView(code="type_without_worker", text=text))
        return found

    def serving(self) -> list[WorkerRecord]:
        """The workers that take jobs of this queue now."""
        return [worker for worker in self.workers if worker.state == "up" and self.queue.name in worker.queues]

    def knowing(self, job_type: str) -> list[WorkerRecord]:
        """The workers that know a job type."""
        return [worker for worker in self.serving() if worker.takes(job_type)]


async def surroundings_of(inspector: Inspector, queue: str, job: JobRecord | None = None) -> Surroundings:
    """What jobs find in a queue, and the job's own place in it."""
    found = await inspector.queues([queue])
    stats = found[0] if found else QueueStats(name=queue)
    return Surroundings(stats, await inspector.workers(), await inspector.place(job) if job else None)


async def explain(backend: Backend, job: JobRecord) -> WhyView | None:
    """Why a job stands where it stands; None for one that is completed."""
    if job.state is JobState.QUEUED:
        around = await backend.read(lambda inspector: surroundings_of(inspector, job.queue, job))
        return explain_queued(job, around)
    published = backend.types.get(job.type)
    bound = job.spec.max_attempts or (published and published.about.get("max_attempts"))
    return _EXPLANATIONS[job.state](job, bound or backend.settings.max_attempts)


def explain_queued(job: JobRecord, around: Surroundings) -> WhyView:
    """Why a queued job is not running yet."""
    if obstacles := around.obstacles(job.type):
        return obstacles[0]
    ahead = around.place.ahead if around.place else 0
    if not ahead:
        return WhyView(code="next", text="it is the next: it waits for a free slot of a worker")
    many = f"{'more than ' if around.place and around.place.at_least else ''}{ahead} job{'s' * (ahead > 1)}"
    return WhyView(code="in_line", text=f"{many} stand{'s' * (ahead == 1)} before it")


def _explain_scheduled(job: JobRecord, _bound: int) -> WhyView:
    until = rfc3339(job.due_at)
    if job.deliveries:
        return WhyView(code="snoozed", text=f"its task put it off until {until}", until=until)
    return WhyView(code="scheduled", text=f"it waits for its time, {until}", until=until)


def _explain_blocked(job: JobRecord, _bound: int) -> WhyView:
    which = f"workflow {job.step.workflow_id}" if job.step else "its workflow"
    return WhyView(code="blocked", text=f"it waits for other steps of {which}, or for a person")


def _explain_retrying(job: JobRecord, bound: int) -> WhyView:
    until = rfc3339(job.due_at)
    text = f"attempt {job.attempts} of {bound} failed ({_category(job)}); the next one is at {until}"
    return WhyView(code="retrying", text=text, until=until)


def _explain_running(job: JobRecord, _bound: int) -> WhyView:
    text = f"it runs on worker {job.worker} since {rfc3339(job.started_at)}"
    if job.cancel_requested:
        return WhyView(code="stopping", text=f"{text}; that worker has been asked to stop it")
    return WhyView(code="running", text=text)


def _explain_dead(job: JobRecord, bound: int) -> WhyView:
    category = _category(job)
    if category == Category.POISON:
        return WhyView(code="poison", text=f"{job.losses} workers were lost while they ran it")
    if job.attempts >= bound:
        text = f"it is out of attempts: {job.attempts} of {bound} failed, the last one with category {category}"
        return WhyView(code="out_of_attempts", text=text)
    return WhyView(code="not_retried", text=f"attempt {job.attempts} failed with category {category}: no retry helps")


def _explain_cancelled(job: JobRecord, _bound: int) -> WhyView:
    if job.reason == "expired":
        return WhyView(code="expired", text="no worker had started it by the time after which nobody wants it")
    return WhyView(code="cancelled", text=f"it was cancelled: {job.reason}" if job.reason else "it was cancelled")


_EXPLANATIONS: dict[JobState, Callable[[JobRecord, int], WhyView | None]] = {
    JobState.BLOCKED: _explain_blocked,
    JobState.SCHEDULED: _explain_scheduled,
    JobState.RETRYING: _explain_retrying,
    JobState.RUNNING: _explain_running,
    JobState.DEAD: _explain_dead,
    JobState.CANCELLED: _explain_cancelled,
    JobState.COMPLETED: lambda _job, _bound: None,
}


def _category(job: JobRecord) -> str:
    return error_of(job.error).category if job.error else Category.UNKNOWN
