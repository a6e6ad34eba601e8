"""BoltQ: what a user's program makes. It registers tasks and submits jobs, from asynchronous and synchronous code."""

import asyncio
import atexit
import contextlib
import inspect
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, get_args, overload

import msgspec

from boltq.broker.broker import Broker, repeated
from boltq.broker.events import Watch
from boltq.broker.inspector import Inspector
from boltq.broker.store import Store
from boltq.broker.submission import raise_if_refused
from boltq.broker.submitter import Submitter
from boltq.broker.waiting import Waiting, quiet
from boltq.broker.workflows.rows import ItemRecord, WorkflowRecord
from boltq.broker.workflows.workflows import OwnId, Workflows
from boltq.domain.context import JobContext
from boltq.domain.errors import InvalidJob, JobCancelled, JobFailed, WaitTimeout, WorkflowCancelled
from boltq.domain.functions import home_of, is_coroutine_function, plain_function, replaces
from boltq.domain.job import CheckedJob, JobRecord, NewJob
from boltq.domain.job_error import Category, error_of
from boltq.domain.limits import bad_name
from boltq.domain.options import Options, Seconds, When, patience, seconds_of
from boltq.domain.parameters import Parameters, ResultReader
from boltq.domain.retry import Backoff, RetryPolicy, checked_policy
from boltq.domain.states import JobState
from boltq.domain.values import as_json, json_bytes
from boltq.domain.workflow.approvals import Answer, AnswerWord, Verdict
from boltq.domain.workflow.builder import AnyWorkflow, Workflow
from boltq.domain.workflow.compiler import compile_workflow, read_and_compile
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.form import WorkflowForm, as_json as form_json
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.progress import cause_of
from boltq.domain.workflow.rerun import RerunMode, RerunWord
from boltq.domain.workflow.states import StepState, WorkflowState
from boltq.portal import Portal, in_thread, lend_threads, refuse_at_the_end, refuse_in_a_child, refuse_in_loop
from boltq.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Executor = Literal["async", "thread", "process"]


class Job(Generic[R]):
    """A submitted job: a handle by which to wait for it, look at it and cancel it."""

    def __init__(
        self, app: "BoltQ", job_id: str, *, created: bool = True, read: ResultReader = msgspec.json.decode
    ) -> None:
        self.id = job_id
        self.created = created  # false: the id or the idempotency key was there already
        self._app = app
        self._read = read

    def __repr__(self) -> str:
        return f"Job({self.id})"

    async def result(self, timeout: float | None = None) -> R:
        """What the function returned, by its return hint; of a job that was submitted by name, as JSON holds it.

        Does not poll, and waits through an outage of the store. Raises JobFailed, JobCancelled, WaitTimeout, NotFound;
        StoreUnavailable when there is no timeout and an outage takes longer than a minute; DataError when the result
        is not what the return hint says.
        """
        wait = Waiting(timeout)
        line = await self._app.line_within(wait)
        result: R = _result_of(await line.watch.end_of(self.id, wait), self._read)
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
        seconds = patience(timeout)
        return self._app.run_sync(self.result(seconds), seconds)

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
        """Its output, as JSON holds it. Does not poll, and waits through an outage of the store.

        Raises WorkflowFailed, WorkflowCancelled, WaitTimeout, NotFound; StoreUnavailable when there is no timeout and
        an outage takes longer than a minute; DataError when the output refers to what is not there.
        """
        wait = Waiting(timeout)
        line = await self._app.line_within(wait)
        record = await line.watch.end_of_workflow(self.id, wait)
        _raise_if_failed(record)
        return msgspec.json.decode(await wait.through_outages(lambda: line.workflows.output(record)))

    async def record(self, generation: int = 0) -> WorkflowRecord:
        """The workflow as it stands, with every step; or as an earlier run (1 is the first) ended. Raises NotFound."""
        return await (await self._app.line()).workflows.get(self.id, generation=generation)

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

    async def signal(self, step: str, decision: AnswerWord, *, data: Any = None, by: str = "") -> Verdict:
        """A person's word for an approval step; it may come before the step waits.

        Raises NotFound, InvalidWorkflow; Conflict when another answer counts, or the step has ended without one.
        """
        answer = Answer(decision=decision, data=msgspec.Raw(json_bytes(data, "/data")), by=by)
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
        given = {step: msgspec.Raw(json_bytes(fields, f"/params/{step}")) for step, fields in (params or {}).items()}
        flows = (await self._app.line()).workflows
        return await flows.rerun(self.id, RerunMode(mode), from_step=from_step, params=given)

    async def delete(self) -> None:
        """Forget it, with its jobs and sub-workflows, when it has ended. Raises NotFound, Conflict."""
        await (await self._app.line()).workflows.delete(self.id)

    def result_sync(self, timeout: float | None = None) -> Any:
        """`result` from synchronous code."""
        seconds = patience(timeout)
        return self._app.run_sync(self.result(seconds), seconds)

    def record_sync(self, generation: int = 0) -> WorkflowRecord:
        """`record` from synchronous code."""
        return self._app.run_sync(self.record(generation))

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

    def signal_sync(self, step: str, decision: AnswerWord, *, data: Any = None, by: str = "") -> Verdict:
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

    def job(self, /, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """The job, not submitted yet: for `submit_many`. Raises TypeError as the call would, InvalidJob.

        The arguments are checked as the worker will check them: by the types of the parameters.
        """
        parameters = self._task.parameters
        data = parameters.pack(args, kwargs)
        parameters.check(data)
        return self._options.new_job(self._task.name, data, data_is_json=True)

    async def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit a job; it is durable when this returns. Raises TypeError, InvalidJob, Refused, StoreError."""
        job = self.job(*args, **kwargs)
        return await self._task.app.submit_job(job, self._task.parameters.read_result)

    def submit_sync(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
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
        self.timeout_seconds = None if options.timeout is None else seconds_of(options.timeout, "/timeout_seconds")
        self.parameters = Parameters(function, name)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__qualname__ = getattr(function, "__qualname__", name)
        self.__wrapped__ = function  # for inspect.signature
        self.__module__ = home_of(function)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Task({self.name})"

    def __reduce__(self) -> str:
        """It is pickled as a function is: by the name that it has in its module."""
        return self.__qualname__

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
        self._held = self._hold()

    async def open(self) -> None:
        """From now on they are closed with the loop: `asyncio.run` ends what generators it knows of."""
        await anext(self._held)

    async def close(self) -> None:
        """Close them."""
        await self._held.aclose()

    def let_go(self) -> None:
        """Close them without their loop, which is closed."""
        self.broker.let_go()
        self.submitter.let_go()
        self.watch.let_go()

    async def _hold(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
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
        self._lines: Lines = {}
        self._portal: Portal | None = None
        self.tasks: dict[str, Task[..., Any]] = {}
        _APPS.add(self)

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

    async def submit(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> Job[Any]:
        """Submit a job by its type's name, without importing the task. `options`: see Options.

        Raises InvalidJob, Refused, StoreError.
        """
        return await self.submit_job(self.job_of(job_type, data, **options))

    def job_of(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> NewJob:
        """The job, not submitted yet: for `submit_many`. Raises InvalidJob.

        When this application has a task of that name, the data are checked by the types of its parameters.
        """
        known = self.tasks.get(job_type)
        chosen, text = Options(**options), as_json({} if data is None else data, "/data")
        if known:
            known.parameters.check(text)
        return (chosen.over(known._options) if known else chosen).new_job(job_type, text, data_is_json=True)  # noqa: SLF001

    async def submit_job(self, job: NewJob, read: ResultReader = msgspec.json.decode) -> Job[Any]:
        """Submit a job; all that are submitted in one turn of the event loop share one call.

        `read`: from the JSON text of its result to what `result` gives. Raises InvalidJob, Refused, StoreError.
        """
        if type(job) is not CheckedJob:
            job.check()
        line = await self.line()
        answer = await line.submitter.submit(job)
        return Job(self, answer.id, created=answer.created, read=read)

    async def submit_many(self, jobs: Iterable[NewJob]) -> list[Job[Any]]:
        """Submit many jobs, at most 500 with one call. Raises the first refusal; what came before it is submitted.

        Raises InvalidJob, with the index of the job in its pointers, before anything is submitted; TypeError for what
        is no job.
        """
        jobs = list(jobs)
        _check_all(jobs)
        line = await self.line()
        answers = await repeated(lambda: line.broker.submit(jobs))
        accepted = [raise_if_refused(answer) for answer in answers]
        return [Job(self, answer.id, created=answer.created) for answer in accepted]

    def submit_sync(self, job_type: str, data: Mapping[str, Any] | None = None, **options: Any) -> Job[Any]:
        """`submit` from synchronous code."""
        return self.run_sync(self.submit(job_type, data, **options))

    def submit_many_sync(self, jobs: Iterable[NewJob]) -> list[Job[Any]]:
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
            self._let_go_of_closed_loops()
            opening = quiet(loop.create_task(self._open()))
            self._lines[loop] = opening
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def line_within(self, wait: Waiting) -> Line:
        """The same, for one who waits: through an outage too, when there is a time for it. Raises WaitTimeout."""
        if wait.timeout is None:
            return await self.line()
        return await wait.through_outages(self.line)

    def _let_go_of_closed_loops(self) -> None:
        for loop, opening in list(self._lines.items()):
            if loop.is_closed():
                self._lines.pop(loop, None)
                if opening.done() and not opening.cancelled() and not opening.exception():
                    opening.result().let_go()

    async def _open(self) -> Line:
        refuse_in_a_child()
        lend_threads()
        store = await in_thread(self._open_store)
        broker = store.broker()
        try:
            await repeated(broker.open)
        except BaseException:
            await broker.close()
            raise
        line = Line(broker)
        await line.open()
        return line

    def _open_store(self) -> Store:
        with self._lock:
            if self._store is None:
                store = Store(self.settings)
                store.open()
                self._store = store
                _OPEN.add(self)
            return self._store

    async def close(self) -> None:
        """Close this loop's connections and those of the `_sync` calls, and leave the embedded store."""
        await self._close_line()
        await in_thread(self._close_all)

    async def _close_line(self) -> None:
        opening = self._lines.pop(asyncio.get_running_loop(), None)
        if opening is not None and not opening.cancelled() and opening.exception() is None:
            await opening.result().close()

    async def __aenter__(self) -> Self:
        await self.line()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on this application's own loop, in a thread of its own, and wait for it.

        Raises WaitTimeout when it has not ended within `timeout` seconds; RuntimeError in a running event loop, which
        it would block (use `await` there), and when the interpreter is ending.
        """
        refuse_at_the_end(work)
        with self._lock:
            if self._portal is None:
                self._portal = _portal_for(work)
                _OPEN.add(self)
            portal = self._portal
        if not portal.is_here:
            refuse_in_loop(work)
        return portal.run(work, timeout)

    def close_sync(self) -> None:
        """`close` from synchronous code."""
        self._close_all()

    def _close_all(self) -> None:
        """All that threads have opened, and the store. Starts no thread: at the end of the interpreter none are had."""
        with self._lock:
            portal, self._portal = self._portal, None
            store, self._store = self._store, None
            _OPEN.discard(self)
        self._let_go_of_closed_loops()
        if portal:
            with contextlib.suppress(WaitTimeout):
                portal.run(self._close_line(), _CLOSE_SECONDS)
            portal.stop()
        if store:
            store.close()

    def _forget(self) -> None:
        """In a forked child: what the parent has opened is the parent's, and stays as it is."""
        _OF_PARENTS.append((self._lines, self._portal, self._store))
        if self._store:
            self._store.forget()
        self._lock, self._lines, self._portal, self._store = threading.Lock(), {}, None, None


Lines = dict[asyncio.AbstractEventLoop, "asyncio.Task[Line]"]

_CLOSE_SECONDS = 5.0
_APPS: "weakref.WeakSet[BoltQ]" = weakref.WeakSet()
_OPEN: set[BoltQ] = set()  # those that have something to close
_OF_PARENTS: list[object] = []  # of the processes that this one was forked from; kept, so that nothing closes it


def _close_open_apps() -> None:
    for app in list(_OPEN):
        app._close_all()  # noqa: SLF001 - a part of the class


def _forget_parents() -> None:
    _OPEN.clear()
    for app in list(_APPS):
        app._forget()  # noqa: SLF001 - a part of the class


atexit.register(_close_open_apps)  # early: what a program registers after its imports runs before, and may submit
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_parents)


def _portal_for(work: Coroutine[Any, Any, Any]) -> Portal:
    try:
        return Portal()
    except RuntimeError:
        work.close()
        raise


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


def _result_of(job: JobRecord, read: ResultReader) -> Any:
    if job.state is JobState.COMPLETED:
        return read(job.result or "null")
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
        text = workflow if isinstance(workflow, str) else _form_text(workflow)
    form, plan = read_and_compile(text)
    if key is None:
        return form, plan
    form = msgspec.structs.replace(form, idempotency_key=key)
    return form, compile_workflow(form)


def _form_text(workflow: Mapping[str, Any]) -> str:
    try:
        return as_json(workflow)
    except InvalidJob as error:
        raise InvalidWorkflow(error.errors) from None


def _raise_if_failed(record: WorkflowRecord) -> None:
    if record.state is WorkflowState.CANCELLED:
        raise WorkflowCancelled(f"workflow {record.id} was cancelled")
    if record.state is WorkflowState.FAILED:
        step = cause_of(record.plan, record.states)
        stored = record.step(step).error if step else None
        raise failure_of(record.id, record.ending, step, error_of(stored) if stored else None)


def _check_all(jobs: Sequence[NewJob]) -> None:
    mistakes: list[tuple[str, str]] = []
    for index, job in enumerate(jobs):
        if type(job) is not CheckedJob:
            if not isinstance(job, NewJob):
                raise TypeError(
                    f"/jobs/{index}: a {type(job).__name__} is no job: make one, task.job(...) or app.job_of(...)"
                )
            try:
                job.check()
            except InvalidJob as error:
                mistakes += [(f"/jobs/{index}{pointer}", reason) for pointer, reason in error.errors]
    if mistakes:
        raise InvalidJob(mistakes)
