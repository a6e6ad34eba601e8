"""A registered function: calling it runs it here, submitting it has a worker run it."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from boltq.app.handles import Application, Job
from boltq.app.in_sync import in_sync
from boltq.domain.context import JobContext
from boltq.domain.functions import home_of
from boltq.domain.job import NewJob
from boltq.domain.options import Options, OptionWords, seconds_of
from boltq.domain.parameters import Parameters
from boltq.domain.retry import RetryPolicy

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Executor = Literal["async", "thread", "process"]


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
        return self._new_job(parameters.pack(args, kwargs))

    def _new_job(self, data: str) -> NewJob:
        self._task.parameters.check(data)
        return self._options.new_job(self._task.name, data, data_is_json=True)

    async def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit a job; it is durable when this returns. Raises TypeError, InvalidJob, Refused, StoreError."""
        job = self.job(*args, **kwargs)
        return await self._task.app.submit_job(job, self._task.parameters.read_result)

    submit_sync = in_sync(submit)

    def _run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        return self._task.app.run_sync(work, timeout)


class Task(Submission[P, R]):
    """A registered function. Calling it runs it here and now; `submit` has a worker run it."""

    def __init__(
        self,
        app: Application,
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
        """Pickles a task as a function is pickled: by its name in its module."""
        return self.__qualname__

    def options(self, **options: Unpack[OptionWords]) -> Submission[P, R]:
        """The task with options for the next submission: `await resize.options(delay=30).submit(image="a.png")`.

        queue: a name. priority: "high", "normal" or "low". delay, expires_in, timeout: seconds or a timedelta. run_at,
        expires_at: a datetime with a zone, or unix seconds. max_attempts: how often it may run. idempotency_key: what
        has the same key is one job. headers, tags: kept with it. title: for people who read lists. Raises TypeError for
        an unknown option.
        """
        return Submission(self, Options.of(options).over(self._options))

    def job_of(self, data: str, options: Options) -> NewJob:
        """A job with these data as JSON text, and options that go before the task's own. Raises InvalidJob."""
        return Submission(self, options.over(self._options))._new_job(data)  # noqa: SLF001 - the base of this class

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


class Decorator:
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
