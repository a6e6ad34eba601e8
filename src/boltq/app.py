"""BoltQ: what a user's program makes. It registers tasks and submits jobs, from asynchronous and synchronous code."""

import asyncio
import atexit
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, get_args, overload

import msgspec

from boltq.broker.broker import Broker, raise_if_refused, repeated
from boltq.broker.events import Watch
from boltq.broker.flows import ItemRecord, WorkflowRecord
from boltq.broker.inspector import Inspector
from boltq.broker.store import Store
from boltq.broker.submitter import Submitter
from boltq.broker.workflows import OwnId, Workflows
from boltq.domain.context import JobContext
from boltq.domain.errors import InvalidJob, JobCancelled, JobFailed, WorkflowCancelled
from boltq.domain.job import JobRecord, NewJob
from boltq.domain.limits import bad_name
from boltq.domain.options import Options, Seconds, When, seconds_of
from boltq.domain.outcome import Category, error_of
from boltq.domain.parameters import Parameters, as_json
from boltq.domain.retry import Backoff, RetryPolicy, checked_policy
from boltq.domain.states import JobState
from boltq.domain.workflow.approvals import Answer, Verdict, Word
from boltq.domain.workflow.builder import AnyWorkflow, Workflow
from boltq.domain.workflow.compiler import compile_workflow, read_and_compile
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.form import WorkflowForm, as_json as form_json
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.progress import cause_of
from boltq.domain.workflow.rerun import RerunMode, RerunWord
from boltq.domain.workflow.states import StepState, WorkflowState
from boltq.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Executor = Literal["async", "thread", "process"]


class Job(Generic[R]):
    """A submitted job: a handle by which to wait for it, look at it and cancel it."""

    def __init__(self, app: "BoltQ", job_id: str, *, created: bool = True) -> None:
        self.id = job_id
        self.created = created  # false: the id or the idempotency key was there already
        self._app = app

    def __repr__(self) -> str:
        return f"Job({self.id})"

    async def result(self, timeout: float | None = None) -> R:
        """What the function returned, as JSON holds it. Does not poll.

        Raises JobFailed, JobCancelled, WaitTimeout, NotFound, StoreUnavailable.
        """
        line = await self._app.line()
        result: R = _result_of(await line.watch.end_of(self.id, timeout))
        return result

    async def record(self) -> JobRecord:
        """The job as it stands. Raises NotFound."""
        return await (await self._app.line()).inspector.job(self.id)

    async def cancel(self, reason: str = "cancelled") -> JobState:
        """Cancel it; a running job is asked to stop, and is "running" until it has. Raises NotFound, Conflict."""
        line = await self._app.line()
        verdict = (await line.broker.cancel([self.id], reason))[0].check()
        return JobState(verdict.word)

    def result_sync(self, timeout: float | None = None) -> R:
        """`result` from synchronous code."""
        return self._app.run_sync(self.result(timeout))

    def record_sync(self) -> JobRecord:
        """`record` from synchronous code."""
        return self._app.run_sync(self.record())

    def cancel_sync(self, reason: str = "cancelled") -> JobState:
        """`cancel` from synchronous code."""
        return self._app.run_sync(self.cancel(reason))


class WorkflowRun:
    """A submitted workflow: a handle by which to wait for it, look at it and steer it."""

    def __init__(self, app: "BoltQ", workflow_id: str, *, created: bool = True) -> None:
        self.id = workflow_id
        self.created = created  # false: the id or the idempotency key was there already
        self._app = app

    def __repr__(self) -> str:
        return f"WorkflowRun({self.id})"

    async def result(self, timeout: float | None = None) -> Any:
        """Its output, as JSON holds it. Does not poll.

        Raises WorkflowFailed, WorkflowCancelled, WaitTimeout, NotFound, StoreUnavailable; DataError when the output
        refers to what is not there.
        """
        line = await self._app.line()
        record = await line.watch.end_of_workflow(self.id, timeout)
        _raise_if_failed(record)
        return msgspec.json.decode(await line.workflows.output(record))

    async def record(self) -> WorkflowRecord:
        """The workflow as it stands, with every step. Raises NotFound."""
        return await (await self._app.line()).workflows.get(self.id)

    async def items(
        self, step: str, state: StepState | str | Sequence[StepState | str] = ()
    ) -> AsyncIterator[ItemRecord]:
        """The items of a step's map in their order, or those of some states, page by page as they are needed.

        Raises NotFound; ValueError for what is no state.
        """
        states = [StepState(one) for one in ([state] if isinstance(state, str) else state)]
        flows = (await self._app.line()).workflows
        record, cursor = await flows.get(self.id), None
        while True:
            page = await flows.items(record, step, states=states, limit=500, cursor=cursor)
            for item in page.items:
                yield item
            if not (cursor := page.cursor):
                return

    async def cancel(self) -> WorkflowState:
        """Cancel what waits and stop what runs; it is "running" until that has ended. Raises NotFound, Conflict."""
        return await (await self._app.line()).workflows.cancel(self.id)

    async def pause(self) -> WorkflowState:
        """Begin no step any more. Raises NotFound, Conflict."""
        return await (await self._app.line()).workflows.pause(self.id)

    async def resume(self) -> WorkflowState:
        """Go on after a pause. Raises NotFound, Conflict."""
        return await (await self._app.line()).workflows.resume(self.id)

    async def signal(self, step: str, decision: Word, *, data: Any = None, by: str = "") -> Verdict:
        """A person's word for an approval step; it may come before the step waits.

        Raises NotFound, InvalidWorkflow; Conflict when another answer counts, or the step has ended without one.
        """
        answer = Answer(decision=decision, data=msgspec.Raw(as_json(data).encode()), by=by)
        return await (await self._app.line()).workflows.signal(self.id, step, answer)

    async def rerun(
        self,
        mode: RerunMode | RerunWord = RerunMode.FAILED_ONLY,
        *,
        from_step: str | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[str, ...]:
        """Run it again when it has ended; answers the steps that begin anew, the others keep their results.

        `params`: for each of these steps other params than it had; they may have references, as in the form.
        Raises NotFound, Conflict, InvalidWorkflow.
        """
        given = {step: msgspec.Raw(as_json(fields).encode()) for step, fields in (params or {}).items()}
        flows = (await self._app.line()).workflows
        return await flows.rerun(self.id, RerunMode(mode), from_step=from_step, params=given)

    async def delete(self) -> None:
        """Forget it, with its jobs and sub-workflows, when it has ended. Raises NotFound, Conflict."""
        await (await self._app.line()).workflows.delete(self.id)

    def result_sync(self, timeout: float | None = None) -> Any:
        """`result` from synchronous code."""
        return self._app.run_sync(self.result(timeout))

    def record_sync(self) -> WorkflowRecord:
        """`record` from synchronous code."""
        return self._app.run_sync(self.record())

    def items_sync(self, step: str, state: StepState | str | Sequence[StepState | str] = ()) -> list[ItemRecord]:
        """`items` from synchronous code, all at once."""

        async def all_of_them() -> list[ItemRecord]:
            return [item async for item in self.items(step, state)]

        return self._app.run_sync(all_of_them())

    def cancel_sync(self) -> WorkflowState:
        """`cancel` from synchronous code."""
        return self._app.run_sync(self.cancel())

    def pause_sync(self) -> WorkflowState:
        """`pause` from synchronous code."""
        return self._app.run_sync(self.pause())

    def resume_sync(self) -> WorkflowState:
        """`resume` from synchronous code."""
        return self._app.run_sync(self.resume())

    def signal_sync(self, step: str, decision: Word, *, data: Any = None, by: str = "") -> Verdict:
        """`signal` from synchronous code."""
        return self._app.run_sync(self.signal(step, decision, data=data, by=by))

    def rerun_sync(
        self,
        mode: RerunMode | RerunWord = RerunMode.FAILED_ONLY,
        *,
        from_step: str | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[str, ...]:
        """`rerun` from synchronous code."""
        return self._app.run_sync(self.rerun(mode, from_step=from_step, params=params))

    def delete_sync(self) -> None:
        """`delete` from synchronous code."""
        self._app.run_sync(self.delete())


class Submission(Generic[P, R]):
    """A task with options of its own for the next submission."""

    def __init__(self, task: "Task[P, R]", options: Options) -> None:
        self._task = task
        self._options = options

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """The job, not submitted yet: for `submit_many`. Raises TypeError, InvalidJob."""
        return self._options.new_job(self._task.name, self._task.parameters.pack(args, kwargs))

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit a job; it is durable when this returns. Raises TypeError, InvalidJob, Refused, StoreError."""
        return await self._task.app.submit_job(self.job(*args, **kwargs))

    def submit_sync(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """`submit` from synchronous code."""
        return self._task.app.run_sync(self.submit(*args, **kwargs))


class Task(Submission[P, R]):
    """A registered function. Calling it runs it here and now; `submit` has a worker run it."""

    def __init__(
        self,
        app: "BoltQ",
        function: Callable[..., Any],
        name: str,
        options: Options,
        retry: RetryPolicy,
        executor: Executor,
    ) -> None:
        super().__init__(self, options)
        self.app = app
        self.function = function
        self.name = name
        self.retry = retry
        self.executor = executor
        self.timeout_seconds = None if options.timeout is None else seconds_of(options.timeout)
        self.parameters = Parameters(function)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__module__ = function.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name})"

    def options(  # noqa: PLR0913 - one keyword for each option, so that submitting type-checks
        self,
        *,
        queue: str | None = None,
        priority: str | int | None = None,
        delay: Seconds | None = None,
        run_at: When | None = None,
        expires_in: Seconds | None = None,
        expires_at: When | None = None,
        max_attempts: int | None = None,
        timeout: Seconds | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        tags: list[str] | None = None,
    ) -> Submission[P, R]:
        """The task with options for the next submission: `await resize.options(delay=30).submit(image="a.png")`."""
        chosen = Options(
            queue,
            priority,
            delay,
            run_at,
            expires_in,
            expires_at,
            max_attempts,
            timeout,
            idempotency_key,
            headers,
            tags,
        )
        return Submission(self, chosen.over(self._options))

    def about(self) -> dict[str, Any]:
        """What a worker publishes of it: description, queue, bounds and the JSON Schema of its data."""
        doc = inspect.getdoc(self.function) or ""
        return {
            "description": doc.split("\n\n")[0].replace("\n", " ")[:500],
            "queue": self._options.queue or "default",
            "executor": self.executor,
            "max_attempts": self.retry.max_attempts,
            "timeout_seconds": self.timeout_seconds,
            "schema": self.parameters.schema(),
        }


class Line:
    """One event loop's connections to the store."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.submitter = Submitter(broker)
        self.inspector = Inspector(broker)
        self.watch = Watch(broker)
        self.workflows = Workflows(broker)

    async def close(self) -> None:
        """Close them."""
        await self.watch.close()
        await self.broker.close()


class BoltQ:
    """An application: its tasks, and the way to its store.

    `address` or `settings` say which store; with neither, the environment does (REDIS_ADDR), and without that it is the
    embedded Valkey, which is started when it is first needed.
    """

    def __init__(self, *, settings: Settings | None = None, address: str | None = None) -> None:
        self._given = settings
        self._address = address
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Line]] = (
            weakref.WeakKeyDictionary()
        )
        self._portal: _Portal | None = None
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
    ) -> "_Decorator": ...

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
            return self._register(found, name or found.__name__, options, retry, executor)

        return register if function is None else register(function)

    def _register(
        self, function: Callable[..., Any], name: str, options: Options, retry: RetryPolicy, executor: Executor | None
    ) -> Task[..., Any]:
        if bad := bad_name(name):
            raise ValueError(f"task name {bad}")
        if name in self.tasks:
            raise ValueError(f"there is a task {name!r} already, in {self.tasks[name].__module__}")
        if executor not in {None, *get_args(Executor)}:
            raise ValueError(f"{name}: executor={executor!r:.60}: one of {', '.join(get_args(Executor))}")
        is_async = inspect.iscoroutinefunction(function)
        if executor is None:
            executor = "async" if is_async else "thread"
        if (executor == "async") != is_async and not (executor == "process" and is_async):
            kind = "an async" if is_async else "a plain"
            raise TypeError(f"{name}: executor={executor!r} does not fit {kind} function")
        options.new_job(name, "{}")  # says now what would be wrong with every job
        self.tasks[name] = Task(self, function, name, options, retry, executor)
        return self.tasks[name]

    # Submitting

    async def submit(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> Job[Any]:
        """Submit a job by its type's name, without importing the task. `options`: see Options.

        Raises InvalidJob, Refused, StoreError.
        """
        return await self.submit_job(self.job_of(job_type, data, **options))

    def job_of(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> NewJob:
        """The job, not submitted yet: for `submit_many`."""
        known = self.tasks.get(job_type)
        chosen = Options(**options)
        return (chosen.over(known._options) if known else chosen).new_job(job_type, _data(data))  # noqa: SLF001

    async def submit_job(self, job: NewJob) -> Job[Any]:
        """Submit a job; all that are submitted in one turn of the event loop share one call."""
        line = await self.line()
        answer = await line.submitter.submit(job)
        return Job(self, answer.id, created=answer.created)

    async def submit_many(self, jobs: Sequence[NewJob]) -> list[Job[Any]]:
        """Submit many jobs, in batches of 1,000. Raises the first refusal; what came before it is submitted."""
        line = await self.line()
        answers = await repeated(lambda: line.broker.submit(jobs))
        accepted = [raise_if_refused(answer) for answer in answers]
        return [Job(self, answer.id, created=answer.created) for answer in accepted]

    def submit_sync(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> Job[Any]:
        """`submit` from synchronous code."""
        return self.run_sync(self.submit(job_type, data, **options))

    def submit_many_sync(self, jobs: Sequence[NewJob]) -> list[Job[Any]]:
        """`submit_many` from synchronous code."""
        return self.run_sync(self.submit_many(jobs))

    def job(self, job_id: str) -> Job[Any]:
        """The handle of a job that was submitted elsewhere."""
        return Job(self, job_id)

    # Workflows

    async def submit_workflow(self, workflow: AnyWorkflow, *, idempotency_key: str | None = None) -> WorkflowRun:
        """Submit a workflow: one that was written in Python, its form as a dictionary, or the form's JSON text.

        Raises InvalidWorkflow with every mistake, Refused, StoreError.
        """
        form, plan = _compiled(workflow, idempotency_key)
        line = await self.line()
        home = line.broker.layout.of_key(form.idempotency_key) if form.idempotency_key else line.broker.layout.next()
        own = OwnId(home)
        text, key = form_json(form), form.idempotency_key or ""
        answer = await repeated(lambda: own.submit(line.workflows, plan, text, key=key))
        return WorkflowRun(self, answer.id, created=answer.created)

    def submit_workflow_sync(self, workflow: AnyWorkflow, *, idempotency_key: str | None = None) -> WorkflowRun:
        """`submit_workflow` from synchronous code."""
        return self.run_sync(self.submit_workflow(workflow, idempotency_key=idempotency_key))

    def workflow(self, workflow_id: str) -> WorkflowRun:
        """The handle of a workflow that was submitted elsewhere."""
        return WorkflowRun(self, workflow_id)

    # The way to the store

    async def line(self) -> Line:
        """This event loop's connections, opened when they are first needed. Raises StoreError, EmbeddedError."""
        loop = asyncio.get_running_loop()
        opening = self._lines.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = loop.create_task(self._open())
            self._lines[loop] = opening
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self) -> Line:
        store = await asyncio.to_thread(self._open_store)
        broker = store.broker()
        try:
            await repeated(broker.open)
        except BaseException:
            await broker.close()
            raise
        return Line(broker)

    def _open_store(self) -> Store:
        with self._lock:
            if self._store is None:
                store = Store(self.settings)
                store.open()
                self._store = store
                atexit.register(self.close_sync)
            return self._store

    async def close(self) -> None:
        """Close this loop's connections, and leave the embedded store."""
        await self._close_line()
        await asyncio.to_thread(self._leave_store)

    async def _close_line(self) -> None:
        opening = self._lines.pop(asyncio.get_running_loop(), None)
        if opening is not None and not opening.cancelled() and opening.exception() is None:
            await opening.result().close()

    async def __aenter__(self) -> Self:
        await self.line()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def run_sync(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on this application's own loop, in a thread of its own, and wait for it."""
        with self._lock:
            if self._portal is None:
                self._portal = _Portal()
        return self._portal.run(work)

    def close_sync(self) -> None:
        """`close` from synchronous code."""
        with self._lock:
            portal, self._portal = self._portal, None
        if portal:
            portal.run(self._close_line())  # not close(): at the end of the interpreter there are no threads to be had
            portal.stop()
        self._leave_store()

    def _leave_store(self) -> None:
        with self._lock:
            store, self._store = self._store, None
        if store:
            store.close()


class _Decorator:
    """The type of `@app.task(...)` with arguments: gives a Task of the same parameters."""

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Task[..., Any]:
        """Never called: `task` returns a plain function."""
        raise NotImplementedError


class _Portal:
    """An event loop in a thread, for callers that have none."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="boltq-portal", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a ..._sync call inside of BoltQ's own loop would wait for itself")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()


def _result_of(job: JobRecord) -> Any:
    if job.state is JobState.COMPLETED:
        return msgspec.json.decode(job.result or "null")
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled: {job.reason}")
    error = error_of(job.error) if job.error else None
    raise JobFailed(f"job {job.id} is dead: {error.class_name}: {error.message}" if error else job.id, error)


def _compiled(workflow: AnyWorkflow, key: str | None) -> tuple[WorkflowForm, Plan]:
    """The form of a workflow and its plan. Raises InvalidWorkflow with every mistake."""
    if isinstance(workflow, WorkflowForm):
        text = form_json(workflow)
    elif isinstance(workflow, Workflow):
        text = workflow.json()
    else:
        text = workflow if isinstance(workflow, str) else as_json(workflow)
    form, plan = read_and_compile(text)
    if key is None:
        return form, plan
    form = msgspec.structs.replace(form, idempotency_key=key)
    return form, compile_workflow(form)


def _raise_if_failed(record: WorkflowRecord) -> None:
    if record.state is WorkflowState.CANCELLED:
        raise WorkflowCancelled(f"workflow {record.id} was cancelled")
    if record.state is WorkflowState.FAILED:
        step = cause_of(record.plan, record.states)
        stored = record.step(step).error if step else None
        raise failure_of(record.id, record.ending, step, error_of(stored) if stored else None)


def _data(data: Mapping[str, Any] | None) -> str:
    try:
        return as_json(data or {})
    except (TypeError, ValueError) as error:
        raise InvalidJob([("/data", str(error))]) from None
