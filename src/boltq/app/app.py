"""BoltQ: what a user's program makes. It registers tasks and submits jobs, from asynchronous and synchronous code."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, get_args, overload

import msgspec

from boltq.app.access import StoreAccess
from boltq.app.forms import check_all, compiled
from boltq.app.handles import Job, WorkflowRun
from boltq.app.in_sync import in_sync
from boltq.app.task import Decorator, Executor, Task
from boltq.broker.broker import repeated
from boltq.broker.connections import Connections
from boltq.broker.submission import raise_if_refused
from boltq.broker.waiting import Waiting
from boltq.broker.workflows.own_id import OwnId
from boltq.domain.context import JobContext
from boltq.domain.functions import is_coroutine_function, plain_function, replaces
from boltq.domain.job import CheckedJob, NewJob
from boltq.domain.job_error import Category
from boltq.domain.limits import bad_name
from boltq.domain.options import Options, OptionWords, Seconds
from boltq.domain.parameters import ResultReader
from boltq.domain.retry import Backoff, RetryPolicy, checked_policy
from boltq.domain.values import as_json
from boltq.domain.workflow.builder import AnyWorkflow
from boltq.domain.workflow.form import as_json as form_json
from boltq.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class BoltQ:
    """An application: its tasks, and the way to its store.

    `address` or `settings` say which store; with neither, the environment does (REDIS_ADDR), and without that it is the
    embedded Valkey, which is started when it is first needed.
    """

    def __init__(self, *, settings: Settings | None = None, address: str | None = None) -> None:
        self._given = settings
        self._address = address
        self._settings: Settings | None = None
        self.access = StoreAccess(lambda: self.settings)
        self.tasks: dict[str, Task[..., Any]] = {}

    @property
    def settings(self) -> Settings:
        """The settings, read when they are first needed. Raises BadSetting."""
        if self._settings is None:
            over: dict[str, Any] = {"redis_addr": self._address} if self._address else {}
            self._settings = replace(self._given, **over) if self._given else Settings.from_env(**over)
        return self._settings

    # Tasks

    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: str | int | None = None,
        timeout: Seconds | None = None,
        max_attempts: int | None = None,
        backoff: Backoff | Mapping[Category, Backoff | None] | None = None,
        errors: Mapping[type[BaseException], Category] | None = None,
        executor: Executor | None = None,
    ) -> Decorator: ...

    def task(  # noqa: PLR0913 - one keyword for each option, so that registering type-checks
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: str | int | None = None,
        timeout: Seconds | None = None,
        max_attempts: int | None = None,
        backoff: Backoff | Mapping[Category, Backoff | None] | None = None,
        errors: Mapping[type[BaseException], Category] | None = None,
        executor: Executor | None = None,
    ) -> Any:
        """Register a function as a task, with or without arguments.

        name: the job type (default: the function's name). timeout: seconds a run may take. backoff: one for all
        categories that are retried, or one for each category named (None: no retry). errors: exception class ->
        category. executor: "async" for coroutine functions, else "thread"; "process" runs it in a process that can be
        killed. Raises ValueError for a bad name or one that is taken and for a policy that makes no sense, TypeError
        for a function that cannot be a task.
        """
        options = Options(queue=queue, priority=priority, timeout=timeout)
        retry = checked_policy(max_attempts, backoff, errors)

        def register(found: Callable[..., Any]) -> Task[..., Any]:
            return self._register(found, name, options, retry, executor)

        return register if function is None else register(function)

    def _register(
        self,
        function: Callable[..., Any],
        given: str | None,
        options: Options,
        retry: RetryPolicy,
        executor: Executor | None,
    ) -> Task[..., Any]:
        if isinstance(function, Task):
            raise TypeError(f"{function.name} is a task already: register its function, {function.name}.function")
        function = plain_function(function, given)
        name = given or function.__name__
        if bad := bad_name(name):
            raise ValueError(f"task name {bad}")
        known = self.tasks.get(name)
        if known is not None and not replaces(function, known.function):
            raise ValueError(f"there is a task {name!r} already, in {known.__module__}")
        if executor not in {None, *get_args(Executor)}:
            raise ValueError(f"{name}: executor={executor!r:.60}: one of {', '.join(get_args(Executor))}")
        is_async = is_coroutine_function(function)
        if executor is None:
            executor = "async" if is_async else "thread"
        if (executor == "async") != is_async and not (executor == "process" and is_async):
            kind = "an async" if is_async else "a plain"
            raise TypeError(f"{name}: executor={executor!r} does not fit {kind} function")
        options.new_job(name, "{}")  # says now what would be wrong with every job
        self.tasks[name] = Task(self, function, name, options, retry, executor)
        return self.tasks[name]

    # Submitting

    async def submit(
        self, /, job_type: str, data: Mapping[str, Any] | None = None, **options: Unpack[OptionWords]
    ) -> Job[Any]:
        """Submit a job by its type's name, without importing the task. `options`: those of Task.options.

        Raises TypeError for an unknown option, InvalidJob, Refused, StoreError.
        """
        return await self.submit_job(self.job_of(job_type, data, **options))

    def job_of(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Unpack[OptionWords]) -> NewJob:
        """The job, not submitted yet: for `submit_many`. Raises InvalidJob.

        When this application has a task of that name, the data are checked by the types of its parameters.
        """
        chosen, text = Options.of(options), as_json({} if data is None else data, "/data")
        if known := self.tasks.get(job_type):
            return known.job_of(text, chosen)
        return chosen.new_job(job_type, text, data_is_json=True)

    async def submit_job(self, job: NewJob, read: ResultReader = msgspec.json.decode) -> Job[Any]:
        """Submit a job; all that are submitted in one turn of the event loop share one call.

        `read`: from the JSON text of its result to what `result` gives. Raises InvalidJob, Refused, StoreError.
        """
        if type(job) is not CheckedJob:
            job.check()
        store = await self.connections()
        answer = await store.submitter.submit(job)
        return Job(self, answer.id, created=answer.created, read=read)

    async def submit_many(self, jobs: Iterable[NewJob]) -> list[Job[Any]]:
        """Submit many jobs, at most 500 with one call. Raises the first refusal; what came before it is submitted.

        Raises InvalidJob, with the index of the job in its pointers, before anything is submitted; TypeError for what
        is no job.
        """
        jobs = list(jobs)
        check_all(jobs)
        store = await self.connections()
        answers = await repeated(lambda: store.broker.submit(jobs))
        accepted = [raise_if_refused(answer) for answer in answers]
        return [Job(self, answer.id, created=answer.created) for answer in accepted]

    submit_sync = in_sync(submit)

    submit_many_sync = in_sync(submit_many)

    def job(self, job_id: str) -> Job[Any]:
        """The handle of a job that was submitted elsewhere."""
        return Job(self, job_id)

    # Workflows

    async def submit_workflow(self, workflow: AnyWorkflow, *, idempotency_key: str | None = None) -> WorkflowRun:
        """Submit a workflow: one that was written in Python, its form as a dictionary, or the form's JSON text.

        Raises InvalidWorkflow with every mistake, Refused, StoreError.
        """
        form, plan = compiled(workflow, idempotency_key)
        store = await self.connections()
        home = store.broker.layout.of_key(form.idempotency_key) if form.idempotency_key else store.broker.layout.next()
        own = OwnId(home)
        text, key = form_json(form), form.idempotency_key or ""
        answer = await repeated(lambda: own.submit(store.workflows, plan, text, key=key))
        return WorkflowRun(self, answer.id, created=answer.created)

    submit_workflow_sync = in_sync(submit_workflow)

    def workflow(self, workflow_id: str) -> WorkflowRun:
        """The handle of a workflow that was submitted elsewhere."""
        return WorkflowRun(self, workflow_id)

    # The way to the store

    async def connections(self) -> Connections:
        """What this event loop has of the store, opened when it is first needed. Raises StoreError, EmbeddedError."""
        return await self.access.connections()

    async def connections_within(self, wait: Waiting) -> Connections:
        """As connections, for a caller that waits: through an outage too, when it has a timeout. Raises WaitTimeout."""
        return await self.access.connections_within(wait)

    def run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on this application's own loop, in a thread of its own, and wait for it.

        Raises WaitTimeout when it has not ended within `timeout` seconds; RuntimeError in a running event loop, which
        it would block (use `await` there), and when the interpreter is ending.
        """
        return self.access.run_sync(work, timeout)

    async def close(self) -> None:
        """Close this loop's connections and those of the `_sync` calls, and leave the embedded store."""
        await self.access.close()

    def close_sync(self) -> None:
        """`close` from synchronous code."""
        self.access.close_all()

    async def __aenter__(self) -> Self:
        await self.connections()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    _run_sync = run_sync
