"""Workflows written in Python. They compile to the same JSON as anybody could send.

    wf = Workflow("invoices", month="2026-11")
    fetched = wf.step(fetch, month=wf.input["month"])
    rendered = wf.map(fetched.result["orders"], max_concurrency=20).step(render, order=item)
    wf.options(run_if="none_failed", when=size(rendered.result) > 0).step(send, files=rendered.result)

What a step refers to, it depends on. For a type checker `fetched.result` is what the function returns; when the program
runs it is a reference, which stands for that value wherever it is put: in arguments, lists, dictionaries and f-strings.
Other text is data: whatever braces it has, it is sent as it is.
"""

import re
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload

import msgspec

from boltq.domain.job import NewJob
from boltq.domain.job_error import Category
from boltq.domain.options import Seconds, seconds_of
from boltq.domain.parameters import Parameters
from boltq.domain.retry import Backoff
from boltq.domain.values import as_json, json_bytes
from boltq.domain.workflow.bounds import STEP_ID
from boltq.domain.workflow.compiler import read_and_compile
from boltq.domain.workflow.form import OnTimeout, RunIfWord, StepForm, WorkflowForm, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.refs import Ref, as_template, condition_text, owned_in, plain, without_refs
from boltq.domain.workflow.uses import Use, uses_of

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TypedJob(Protocol[R_co]):
    """A submitted job whose result has a type."""

    async def result(self, timeout: float | None = None) -> R_co:
        """What the function returned."""
        raise NotImplementedError


class StepTask(Protocol[P, R_co]):
    """A registered task, as far as a workflow needs it."""

    name: str
    parameters: Parameters

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """A job of this type."""

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, TypedJob[R_co]]:
        """A job of this type, submitted."""


class Step(Generic[R]):
    """A step that was added. Its result, state and counts can be used in the steps that come after it."""

    def __init__(self, id: str, workflow: "Workflow") -> None:
        self.id = id
        self._workflow = workflow

    @property
    def result(self) -> R:
        """The step's result; of a map, the list of its items' results."""
        return cast("R", Ref("steps", self.id, "result", owner=self._workflow))

    @property
    def state(self) -> Any:
        """The step's state, such as "completed"."""
        return Ref("steps", self.id, "state", owner=self._workflow)

    @property
    def stats(self) -> Any:
        """The counts of a map: `stats.total`, `stats.completed`, `stats.failed`, `stats.cancelled`."""
        return Ref("steps", self.id, "stats", owner=self._workflow)

    @property
    def error(self) -> Any:
        """The error of a step that failed."""
        return Ref("steps", self.id, "error", owner=self._workflow)

    def __repr__(self) -> str:
        return f"Step({self.id})"


class StepList:
    """Adds steps to a list of a workflow, with the options that were chosen for them."""

    def __init__(self, workflow: "Workflow", group: str, options: Mapping[str, Any] | None = None) -> None:
        self._workflow = workflow
        self._group = group
        self._options = dict(options or {})

    def options(  # noqa: PLR0913 - one keyword for each option, so that it type-checks
        self,
        *,
        id: str | None = None,
        after: Sequence[Step[Any]] | None = None,
        run_if: RunIfWord | None = None,
        at_least: int | None = None,
        when: object = None,
        allow_failure: bool | None = None,
        queue: str | None = None,
        priority: str | int | None = None,
        timeout: Seconds | str | None = None,
        max_attempts: int | None = None,
        backoff: Backoff | None = None,
        retry_on: Sequence[Category] | None = None,
    ) -> "StepList":
        """The list, with options for the next step; `after` adds steps that it depends on without using their values.

        `timeout` is in seconds, a timedelta, or a text such as "5m" or "1h30m"; it is that of one run of a job.
        """
        self._check(when)
        chosen = {
            "id": id,
            "depends_on": None if after is None else [self._own(step) for step in after],
            "run_if": run_if if at_least is None else {"at_least": at_least},
            "when": None if when is None else condition_text(when),
            "allow_failure": allow_failure,
            "queue": queue,
            "priority": priority,
            "timeout_seconds": _duration(timeout),
            "retry": _retry(max_attempts, backoff, retry_on),
        }
        return self._with({name: value for name, value in chosen.items() if value is not None})

    def map(
        self, over: Any, *, max_concurrency: int | None = None, tolerated_failures: float | str = 0
    ) -> "MappedSteps":
        """The next step is done once for each item of a list. A float is a share: 0.05 is "5%"."""
        self._check(over)
        share = (
            f"{tolerated_failures * 100:.4f}".rstrip("0").rstrip(".") if isinstance(tolerated_failures, float) else ""
        )
        mapping = {
            "over": plain(over),
            "max_concurrency": max_concurrency,
            "tolerated_failures": f"{share}%" if share else tolerated_failures,
        }
        return MappedSteps(self._with({"map": mapping}))

    @overload
    def step(self, job_type: StepTask[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def step(self, job_type: str, /, **params: Any) -> Step[Any]: ...

    def step(self, job_type: Any, /, *args: Any, **kwargs: Any) -> Step[Any]:
        """A step that runs a job. Raises TypeError as calling the function would."""
        self._check((args, kwargs))
        return self.add(*_job(job_type, args, kwargs))

    def wait(self, seconds: Any = None, *, until: Any = None) -> Step[None]:
        """A step that waits: so many seconds (or a text such as "2h"), or until a moment."""
        self._check((seconds, until))
        given = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        moment = until.isoformat() if isinstance(until, datetime) else until
        return self.add("wait", {"type": "wait", "wait": {"seconds": plain(given), "until": plain(moment)}})

    def approval(
        self, prompt: str = "", *, timeout: Seconds | str | None = None, on_timeout: OnTimeout = "reject"
    ) -> Step[dict[str, Any]]:
        """A step that waits for a person's answer, and fails when that is "reject"."""
        self._check(prompt)
        asked = {
            "prompt": plain(prompt),
            "timeout_seconds": _duration(timeout),
            "on_timeout": on_timeout,
        }
        return self.add("approval", {"type": "approval", "approval": asked})

    def workflow(self, inner: "Workflow", /, **input: Any) -> Step[Any]:
        """A step that runs a whole workflow; its result is that workflow's output."""
        self._check(input)
        return self.add(inner.name, {"type": "workflow", "workflow": inner.plain(), "params": plain(input)})

    def add(self, name: str, fields: Mapping[str, Any]) -> Step[Any]:
        """A step with these fields of the form."""
        return Step(self._workflow.append_step(self._group, name, {**fields, **self._options}), self._workflow)

    def _own(self, step: Step[Any]) -> str:
        if step._workflow is not self._workflow:  # noqa: SLF001 - a step's attributes are what others may refer to
            raise _foreign(f"the step {step.id}", step._workflow, self._workflow)  # noqa: SLF001
        return step.id

    def _check(self, value: Any) -> None:
        """Raises InvalidWorkflow when a reference in it is of another workflow."""
        for text, owner in owned_in(value):
            if owner is not self._workflow:
                raise _foreign(text, owner, self._workflow)

    def _with(self, options: Mapping[str, Any]) -> "StepList":
        return StepList(self._workflow, self._group, {**self._options, **options})


class MappedSteps:
    """Adds a step that is done once for each item of a list: put `item` into its arguments."""

    def __init__(self, steps: StepList) -> None:
        self._steps = steps

    @overload
    def step(self, job_type: StepTask[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[list[R]]: ...
    @overload
    def step(self, job_type: str, /, **params: Any) -> Step[list[Any]]: ...

    def step(self, job_type: Any, /, *args: Any, **kwargs: Any) -> Step[Any]:
        """A step that runs a job for each item."""
        return self._steps.step(job_type, *args, **kwargs)

    def workflow(self, inner: "Workflow", /, **input: Any) -> Step[list[Any]]:
        """A step that runs a whole workflow for each item."""
        return self._steps.workflow(inner, **input)


class Workflow(StepList):
    """A workflow that is being written. Keyword arguments are its input."""

    def __init__(
        self,
        name: str,
        /,
        *,
        on_failure_policy: Literal["fail_fast", "continue"] = "fail_fast",
        timeout: Seconds | str | None = None,
        priority: str | int | None = None,
        queue: str | None = None,
        tags: Sequence[str] = (),
        **input: Any,
    ) -> None:
        super().__init__(self, "steps")
        self.name = name
        self.input: Any = Ref("input", owner=self)
        self.id: Any = Ref("workflow", "id", owner=self)
        self.on_failure = StepList(self, "on_failure")
        self.finally_ = StepList(self, "finally")
        self._fields: dict[str, Any] = {
            "name": name,
            "input": msgspec.Raw(json_bytes(input, "/input")),
            "on_failure_policy": on_failure_policy,
            "timeout_seconds": _duration(timeout),
            "priority": priority,
            "queue": queue,
            "tags": list(tags) or None,
        }
        self._lists: dict[str, list[dict[str, Any]]] = {"steps": [], "on_failure": [], "finally": []}
        self._before: dict[str, set[str]] = {}  # for each step all those that come before it

    def output(self, value: Any) -> None:
        """What the workflow results in: a value with references."""
        self._check(value)
        self._fields["output"] = plain(value)

    def form(self) -> WorkflowForm:
        """The form. Raises InvalidWorkflow."""
        return read_form(self.json())

    def json(self) -> str:
        """The JSON text that POST /api/v1/workflows takes."""
        return as_json(self.plain())

    def compile(self) -> Plan:
        """The plan. Raises InvalidWorkflow with every mistake."""
        return read_and_compile(self.json())[1]

    def plain(self) -> dict[str, Any]:
        """The form as a dictionary, without fields that were not given."""
        given = {name: value for name, value in self._fields.items() if value is not None}
        return given | {name: steps for name, steps in self._lists.items() if steps or name == "steps"}

    def append_step(self, group: str, name: str, fields: Mapping[str, Any]) -> str:
        """Adds a step to one of the lists; without an id it gets one from the name. Returns its id."""
        taken = {step["id"] for steps in self._lists.values() for step in steps}
        step_id: str = fields.get("id") or _free_id(name, taken)
        own = {step["id"] for step in self._lists[group]}
        referred = [step for step in _referred(fields) if step in own]
        said: Sequence[str] | None = fields.get("depends_on")
        before = self._all_before(referred if said is None else said)
        parents = {} if said is None else {"depends_on": [*said, *(step for step in referred if step not in before)]}
        self._before[step_id] = before | self._all_before(referred)
        self._lists[group].append({**fields, **parents, "id": step_id})
        return step_id

    def _all_before(self, steps: Sequence[str]) -> set[str]:
        """The steps and all steps before them."""
        return set(steps).union(*(self._before.get(step, ()) for step in steps))


AnyWorkflow = Workflow | WorkflowForm | Mapping[str, Any] | str
"""What may be submitted: a workflow that was written in Python, its form, the form as a dictionary, or as JSON text."""


def _foreign(what: str, owner: "Workflow", here: "Workflow") -> InvalidWorkflow:
    about = f"{what} is of another workflow, {owner.name!r:.100}, and cannot be used in {here.name!r:.100}"
    return InvalidWorkflow([("", f"{about}: give it to that one as input, or put that one in with .workflow(...)")])


def _job(job_type: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(job_type, str):
        return job_type, {"job_type": job_type, "params": plain(kwargs)}
    packed = job_type.parameters.pack(tuple(map(without_refs, args)), without_refs(kwargs))
    return job_type.name, {"job_type": job_type.name, "params": as_template(msgspec.json.decode(packed))}


def _duration(given: Seconds | str | None) -> float | str | None:
    return given if given is None or isinstance(given, str) else seconds_of(given, "/timeout_seconds")


def _referred(fields: Mapping[str, Any]) -> list[str]:
    """The steps that a step refers to, each once."""
    try:
        step = msgspec.json.decode(msgspec.json.encode(fields), type=StepForm)
    except msgspec.ValidationError:
        return []  # the compiler says what is wrong with the step
    steps = (found.reference.step for found in uses_of(step, "") if isinstance(found, Use))
    return list(dict.fromkeys(step for step in steps if step is not None))


def _retry(attempts: int | None, backoff: Backoff | None, on: Sequence[Category] | None) -> dict[str, Any] | None:
    waits = backoff and {
        "base_seconds": min(backoff.base, backoff.cap),
        "factor": backoff.factor,
        "cap_seconds": backoff.cap,
        "floor_seconds": backoff.floor,
        **({} if backoff.jitter else {"jitter": False}),
    }
    chosen = {"max_attempts": attempts, "backoff": waits, "on": None if on is None else list(on)}
    return {name: value for name, value in chosen.items() if value is not None} or None


def _free_id(name: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:90] or "step"
    ids = (f"{base}-{number}" if number > 1 else base for number in range(1, len(taken) + 2))
    return next(step_id for step_id in ids if step_id not in taken and STEP_ID.fullmatch(step_id))
