"""The client for synchronous code: submits jobs to an API, waits for results, looks at things and acts.

Type checkers have to see each method, so `async_client.py` lists the same: `tests/client/test_description.py` compares.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

from boltq.client import calls, talk
from boltq.client.answers import JobSummary, OperationInfo, Page
from boltq.client.carry import carry
from boltq.client.place import find_place
from boltq.client.request import Request
from boltq.client.talk import Talk, ask
from boltq.client.wire import TIMEOUT, Wire
from boltq.client.workflows import calls as workflow_calls, talk as workflow_talk
from boltq.client.workflows.answers import ApprovalInfo, WorkflowInfo, WorkflowSummary
from boltq.client.workflows.calls import WhichWorkflows
from boltq.domain.job import NewJob
from boltq.domain.options import OptionWords
from boltq.domain.workflow.builder import AnyWorkflow

P = ParamSpec("P")
T = TypeVar("T")


class _Way(Generic[P, T]):
    """A described call as a method of the client."""

    def __init__(self, describe: Callable[P, Request[T]]) -> None:
        self._describe = describe

    def __get__(self, client: "Client", _owner: object = None) -> Callable[P, T]:
        @wraps(self._describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.carry(ask(self._describe(*args, **kwargs)))

        return method


class _OwnWay(Generic[P, T]):
    """A described call about one job or workflow, as a method of its handle."""

    def __init__(self, describe: Callable[Concatenate[str, P], Request[T]]) -> None:
        self._describe = describe

    def __get__(self, own: "_Own", _owner: object = None) -> Callable[P, T]:
        @wraps(self._describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return own.client.carry(ask(self._describe(own.id, *args, **kwargs)))

        return method


class _Own:
    """What was submitted, and the client by which to ask about it."""

    def __init__(self, client: "Client", id: str, *, created: bool = True) -> None:
        self.client = client
        self.id = id
        self.created = created  # false: the idempotency key was there already

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"


class Job(_Own):
    """A submitted job: a handle by which to wait for it, look at it and act on it."""

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned, as JSON holds it; `timeout` in seconds. The server tells when the job has ended.

        Raises JobFailed, JobCancelled, WaitTimeout, NotFound, StoreUnavailable.
        """
        return self.client.carry(talk.result_of(self.id, timeout))

    info = _OwnWay(calls.get_job)
    cancel = _OwnWay(calls.cancel_job)
    retry = _OwnWay(calls.retry_job)
    run_now = _OwnWay(calls.run_job_now)
    replay = _OwnWay(calls.replay_job)
    edit = _OwnWay(calls.edit_job)
    delete = _OwnWay(calls.delete_job)
    logs = _OwnWay(calls.get_log)


class WorkflowRun(_Own):
    """A submitted workflow: a handle by which to wait for it, look at it and steer it."""

    def result(self, timeout: float | None = None) -> Any:
        """Its output, as JSON holds it; `timeout` in seconds. The server tells when the workflow has ended.

        Raises WorkflowFailed, WorkflowCancelled, WaitTimeout, NotFound, StoreUnavailable; DataError when the output
        refers to what is not there, Forbidden when the token may not see it.
        """
        return self.client.carry(workflow_talk.output_of(self.id, timeout))

    def wait(self, timeout: float | None = None) -> WorkflowInfo:
        """The workflow with every step, once it has ended in whatever way. Raises WaitTimeout, NotFound."""
        return self.client.carry(workflow_talk.end_of_workflow(self.id, timeout))

    info = _OwnWay(workflow_calls.get_workflow)
    step = _OwnWay(workflow_calls.get_workflow_step)
    explain = _OwnWay(workflow_calls.explain_workflow)
    cancel = _OwnWay(workflow_calls.cancel_workflow)
    pause = _OwnWay(workflow_calls.pause_workflow)
    resume = _OwnWay(workflow_calls.resume_workflow)
    rerun = _OwnWay(workflow_calls.rerun_workflow)
    signal = _OwnWay(workflow_calls.signal_workflow)
    delete = _OwnWay(workflow_calls.delete_workflow)


class Client:
    """An API of BoltQ, for synchronous code. Threads may share one.

    `url`: where it is (BOLTQ_URL, http://127.0.0.1:8080). `token`: an API key or the server's own token (BOLTQ_TOKEN,
    or the one in the data directory for a server on this machine). `timeout`: seconds that one request may take.
    What is safe to repeat is sent again, at most four times, when the server or its store does not answer.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout: float = TIMEOUT) -> None:
        self._place = find_place(url, token)
        self._wire = Wire(self._place, timeout)

    def __repr__(self) -> str:
        return f"Client({self._place.url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def carry(self, talk: Talk[T]) -> T:
        """Carry out a talk; for calls that are put together by hand."""
        return carry(talk, self._wire.exchange)

    # Submitting

    def submit(self, type: str, data: Mapping[str, Any] | None = None, **options: Unpack[OptionWords]) -> Job:
        """Submit a job; it is durable when this returns. Raises InvalidJob, QueueFull, Conflict, StoreError."""
        return self.submit_job(talk.job_of(type, data, **options))

    job_of = staticmethod(talk.job_of)

    def submit_job(self, job: NewJob) -> Job:
        """Submit a job that was put together before, as by `job_of`."""
        answer = self.carry(talk.submit(job))
        return Job(self, answer.id, created=answer.created)

    def submit_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Submit many jobs, 1,000 with one call. Raises the first refusal; the others of its call are submitted."""
        answers = self.carry(talk.submit_many(jobs))
        return [Job(self, answer.id, created=answer.created) for answer in answers]

    # Jobs

    def job(self, job_id: str) -> Job:
        """The handle of a job that was submitted elsewhere. Asks nobody."""
        return Job(self, job_id)

    def jobs(self, **which: Unpack[calls.Which]) -> Iterator[JobSummary]:
        """The jobs that fit, page by page as they are needed. Without a state: what runs and waits first."""
        return self._each(lambda cursor: calls.list_jobs(cursor=cursor, **which))

    counts = _Way(calls.count_jobs)
    dry_run_job = _Way(calls.dry_run_job)
    dead_groups = _Way(calls.group_dead_letters)

    # Workflows

    def submit_workflow(self, workflow: AnyWorkflow, *, idempotency_key: str | None = None) -> WorkflowRun:
        """Submit a workflow: one written in Python, its form, or the form as a dictionary or JSON text.

        Raises InvalidWorkflow with every mistake, QueueFull, Conflict, StoreError.
        """
        answer = self.carry(workflow_talk.submit_workflow(workflow, idempotency_key))
        return WorkflowRun(self, answer.id, created=answer.created)

    def workflow(self, workflow_id: str) -> WorkflowRun:
        """The handle of a workflow that was submitted elsewhere. Asks nobody."""
        return WorkflowRun(self, workflow_id)

    def workflows(self, **which: Unpack[WhichWorkflows]) -> Iterator[WorkflowSummary]:
        """The workflows that fit, in each partition the newest first, page by page as they are needed."""
        return self._each(lambda cursor: workflow_calls.list_workflows(cursor=cursor, **which))

    def approvals(self) -> Iterator[ApprovalInfo]:
        """The steps of all workflows that wait for a person, page by page as they are needed."""
        return self._each(lambda cursor: workflow_calls.list_approvals(cursor=cursor))

    list_approvals = _Way(workflow_calls.list_approvals)
    dry_run_workflow = _Way(workflow_calls.dry_run_workflow)
    list_workflows = _Way(workflow_calls.list_workflows)
    get_workflow = _Way(workflow_calls.get_workflow)
    get_workflow_step = _Way(workflow_calls.get_workflow_step)
    explain_workflow = _Way(workflow_calls.explain_workflow)
    cancel_workflow = _Way(workflow_calls.cancel_workflow)
    pause_workflow = _Way(workflow_calls.pause_workflow)
    resume_workflow = _Way(workflow_calls.resume_workflow)
    rerun_workflow = _Way(workflow_calls.rerun_workflow)
    signal_workflow = _Way(workflow_calls.signal_workflow)
    delete_workflow = _Way(workflow_calls.delete_workflow)

    # Queues

    queues = _Way(calls.list_queues)
    queue = _Way(calls.get_queue)
    pause = _Way(calls.pause_queue)
    resume = _Way(calls.resume_queue)
    limit = _Way(calls.limit_queue)
    purge = _Way(calls.purge_queue)

    # Many jobs at once

    bulk = _Way(calls.bulk)
    preview = _Way(calls.preview_bulk)
    operation = _Way(calls.get_operation)
    operations = _Way(calls.list_operations)
    stop_operation = _Way(calls.stop_operation)
    continue_operation = _Way(calls.continue_operation)

    def finished(self, operation_id: str, timeout: float | None = None) -> OperationInfo:
        """A bulk operation once nothing more is done of it, or its canary waits. Raises NotFound, WaitTimeout."""
        return self.carry(talk.end_of_operation(operation_id, timeout))

    # Workers and job types

    workers = _Way(calls.list_workers)
    worker = _Way(calls.get_worker)
    drain = _Way(calls.drain_worker)
    resume_worker = _Way(calls.resume_worker)
    stop = _Way(calls.stop_worker)
    job_types = _Way(calls.list_job_types)
    job_type = _Way(calls.get_job_type)

    # Keys, and the system

    whoami = _Way(calls.whoami)
    keys = _Way(calls.list_keys)
    create_key = _Way(calls.create_key)
    revoke_key = _Way(calls.revoke_key)
    ready = _Way(calls.ready)
    meta = _Way(calls.meta)
    system = _Way(calls.system)
    checks = _Way(calls.checks)
    audit = _Way(calls.list_audit)

    def _each(self, page_at: Callable[[str | None], Request[Page[T]]]) -> Iterator[T]:
        """Everything of a list, page by page as it is needed."""
        cursor: str | None = None
        while True:
            page = self.carry(ask(page_at(cursor)))
            yield from page.items
            cursor = page.next_cursor
            if not cursor:
                return
