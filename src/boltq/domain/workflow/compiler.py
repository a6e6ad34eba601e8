"""Compiles a form into a plan, or names every mistake in the form."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from boltq.domain.hints import alike
from boltq.domain.job import Priority
from boltq.domain.workflow import bounds, graph
from boltq.domain.workflow.checks import check_fit, check_step, check_workflow
from boltq.domain.workflow.form import AtLeastForm, StepForm, StepKind, WorkflowForm, as_json, read_form_leniently
from boltq.domain.workflow.mistakes import InvalidWorkflow, Mistake, is_within, raise_if_any
from boltq.domain.workflow.plan import EARLY, Group, Plan, PlannedStep, Rule
from boltq.domain.workflow.plan_fields import planned_approval, planned_map, planned_retry, planned_seconds, priority_of
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.spellings import Spellings
from boltq.domain.workflow.uses import Use, names_in, needs_filling, uses_in, uses_of, value_of


def compile_workflow(form: WorkflowForm, *, input_is_known: bool = True) -> Plan:
    """The plan of a workflow. Raises InvalidWorkflow with a JSON pointer and a reason for every mistake.

    `input_is_known` false is for a form that is saved and gets its input later.
    """
    if len(as_json(form).encode()) > bounds.MAX_WORKFLOW_BYTES:
        raise InvalidWorkflow([("", f"larger than {bounds.MAX_WORKFLOW_BYTES} bytes")])
    if _count_steps(form) > bounds.MAX_STEPS:
        raise InvalidWorkflow([("/steps", f"at most {bounds.MAX_STEPS} steps, those of sub-workflows included")])
    mistakes: list[Mistake] = []
    spellings = Spellings()
    plan = _Compiler(form, mistakes, spellings, input_is_known=input_is_known).plan()
    raise_if_any((spellings.pointer(at), reason) for at, reason in [*mistakes, *spellings.twice])
    return plan


class Examined(NamedTuple):
    """The form and plan in a JSON text, as far as the text can be read, and every mistake in it."""

    form: WorkflowForm | None  # without what did not fit
    plan: Plan | None  # only of what has no mistakes
    mistakes: list[Mistake]


def examine(body: bytes, change: Callable[[WorkflowForm], WorkflowForm] = lambda form: form) -> Examined:
    """Find all mistakes of a form, of whichever kind they are; `change`: what is done with the form before that.

    Raises InvalidWorkflow for what is no JSON.
    """
    form, mistakes = read_form_leniently(body)
    if form is None:
        return Examined(None, None, mistakes)
    form = change(form)
    try:
        plan = compile_workflow(form)
    except InvalidWorkflow as error:
        more = _certain(error.errors, [at for at, _ in mistakes])
        return Examined(form, None, [*mistakes, *more] or list(error.errors))
    return Examined(form, None if mistakes else plan, mistakes)


def _certain(found: Iterable[Mistake], unread: Sequence[str]) -> Iterator[Mistake]:
    """The mistakes that do not depend on what could not be read."""
    doubtful = [_in_doubt(at) for at in unread]
    unsure = [(words, _around(at)) for at in unread for words, fields in _UNSURE.items() if _says(at, fields)]
    for at, why in found:
        if not is_within(at, doubtful) and not any(words in why and is_within(at, [place]) for words, place in unsure):
            yield at, why


def _in_doubt(at: str) -> str:
    """The place that cannot be judged when a value could not be read: the whole step, if the value tells its type."""
    parts = at.split("/")
    number = max((n for n, part in enumerate(parts) if part.isdigit() and parts[n - 1] in _LISTS), default=0)
    field, inner = [*parts[number + 1 :], ""][0], parts[number + 2 :]
    if not number or field not in _TELLS_KIND or (field == "workflow" and inner):
        return at
    return "/".join(parts[: number + (2 if inner and field != "depends_on" else 1)])


def _around(at: str) -> str:
    """The pointer of the workflow whose steps contain this pointer."""
    parts = at.split("/")
    return "/".join(parts[: max(n for n, part in enumerate(parts) if part in _LISTS)])


def _says(at: str, fields: Container[str]) -> bool:
    """Whether one of these fields could not be read there; a whole step, or a list of steps, has all of them."""
    *_, before, last = ["", *at.split("/")]
    return last in fields or last in _LISTS or (last.isdigit() and (before in fields or before in _LISTS))


def read_and_compile(body: bytes | str) -> tuple[WorkflowForm, Plan]:
    """The form that a JSON text is, and its plan. Raises InvalidWorkflow with every mistake."""
    form, plan, mistakes = examine(body.encode() if isinstance(body, str) else body)
    if form is None or plan is None:
        raise InvalidWorkflow(mistakes)
    return form, plan


def named_steps(form: WorkflowForm) -> Iterator[tuple[Group, str, str, StepForm]]:
    """Every step with its list, its id (which may be made up) and its JSON pointer; not those of sub-workflows."""
    lists = ((Group.STEPS, form.steps), (Group.ON_FAILURE, form.on_failure), (Group.FINALLY, form.finally_))
    for group, steps in lists:
        for number, step in enumerate(steps):
            usual = f"{_USUAL_ID[group]}-{number + 1}"
            yield group, usual if step.id is None else step.id, f"/{group}/{number}", step


_NO_STEP: Final = "there is no step"
_NO_ORDER: Final = "does not come before"
_TWICE: Final = "there is another step"
_TOO_FEW: Final = "needs a step that it depends on"
_FEWER: Final = "steps only"
_UNSURE: Final = {_NO_ORDER: ("id", "depends_on")} | dict.fromkeys((_NO_STEP, _TWICE, _TOO_FEW, _FEWER), ("id",))
"""Mistakes that may be none when these fields of any step could not be read."""
_LISTS: Final = ("steps", "on_failure", "finally")
_TELLS_KIND: Final = ("", "id", "type", "depends_on", "map", "wait", "approval", "workflow")
_USUAL_ID: Final = {Group.STEPS: "step", Group.ON_FAILURE: "on-failure", Group.FINALLY: "finally"}
_LATER: Final = {group: number for number, group in enumerate(Group)}
_NEEDS_PARENTS: Final = frozenset(Rule) - {Rule.ALL_SUCCESS, Rule.ALL_DONE, Rule.NONE_FAILED, Rule.AT_LEAST}
_NAMED_IN_CYCLE: Final = 20


class _Draft:
    """A step while it is compiled."""

    def __init__(self, form: StepForm, id: str, group: Group, at: str) -> None:
        self.form = form
        self.id = id
        self.group = group
        self.at = at
        self.uses: list[Use] = []
        self.parents: list[str] = []
        self.awaits: list[str] = []
        self.workflow: Plan | None = None

    @property
    def rule(self) -> Rule:
        """When it runs."""
        return Rule.AT_LEAST if isinstance(self.form.run_if, AtLeastForm) else Rule(self.form.run_if)

    @property
    def referred(self) -> list[str]:
        """The steps that it refers to, each once."""
        return list(dict.fromkeys(step for use in self.uses if (step := use.reference.step) is not None))


class _Usual(NamedTuple):
    """The defaults of a workflow's steps; a sub-workflow inherits those of the workflow around it."""

    queue: str = "default"
    priority: Priority = Priority.NORMAL
    tags: tuple[str, ...] = ()


_USUAL: Final = _Usual()


class _Compiler:
    """Compiles one form. Each sub-workflow has a compiler of its own."""

    def __init__(
        self,
        form: WorkflowForm,
        mistakes: list[Mistake],
        spellings: Spellings,
        *,
        at: str = "",
        input_is_known: bool = True,
        given: Iterable[str] | None = None,
        outer: "_Compiler | None" = None,
        usual: _Usual = _USUAL,
    ) -> None:
        self._form = spellings.workflow(form, at)
        self._mistakes = mistakes
        self._spellings = spellings
        self._at = at
        self._nesting: int = outer._nesting + 1 if outer else 1  # noqa: SLF001 - of another compiler
        self._input = ReferenceScope(input=bytes(form.input).decode(errors="replace")) if input_is_known else None
        self._names = None if given is None else {*names_in(form.input), *given}
        self._outer = outer
        self._usual = _Usual(
            form.queue or usual.queue, priority_of(form.priority, usual.priority), tuple(form.tags) or usual.tags
        )
        self._drafts: dict[str, _Draft] = {}

    def plan(self) -> Plan:
        """The plan. It is useless when there are mistakes, which are all noted."""
        self._mistakes += check_workflow(self._form, self._at)
        self._draft_steps()
        for draft in self._drafts.values():
            self._look_into(draft)
        self._check_output()
        steps: list[PlannedStep] = []
        path: list[str] = []
        for group in Group:
            drafts = [draft for draft in self._drafts.values() if draft.group is group]
            planned, longest = self._arranged(drafts)
            steps += planned
            path = path or longest
        return Plan(
            name=self._form.name,
            steps=tuple(steps),
            input=bytes(self._form.input).decode(errors="replace"),
            output=bytes(self._form.output).decode(errors="replace"),
            policy=self._form.on_failure_policy,
            timeout_seconds=planned_seconds(self._form.timeout_seconds),
            tags=self._usual.tags,
            longest_path=tuple(path),
        )

    # What there is

    def _draft_steps(self) -> None:
        for group, step_id, place, form in named_steps(self._form):
            at = self._at + place
            usual = self._spellings.step(form, at)
            if step_id in self._drafts:
                self._wrong(f"{at}/id", f"{_TWICE} {step_id}, at {self._drafts[step_id].at}")
            else:
                self._drafts[step_id] = _Draft(usual, step_id, group, at)
            self._mistakes += [*check_fit(form, at), *check_step(usual, at)]

    def _look_into(self, draft: _Draft) -> None:
        for found in uses_of(draft.form, draft.at):
            if not isinstance(found, Use):
                self._mistakes.append(found)
            elif reason := self._bad_use(found, draft):
                self._wrong(found.at, reason)
            else:
                draft.uses.append(found)
        if draft.form.workflow and draft.form.kind is StepKind.WORKFLOW:
            draft.workflow = self._sub_plan(draft.form.workflow, f"{draft.at}/workflow", _names_given(draft.form))

    def _sub_plan(self, form: WorkflowForm, at: str, given: Iterable[str] | None) -> Plan | None:
        if self._nesting >= bounds.MAX_NESTING:
            self._wrong(at, f"workflows may be nested {bounds.MAX_NESTING} deep")
            return None
        for use in uses_in(value_of(form.input), f"{at}/input", "params"):
            self._wrong(use[0], "the step's params are the input of its workflow: write references there")
        compiler = _Compiler(
            form,
            self._mistakes,
            self._spellings,
            at=at,
            input_is_known=False,
            given=given,
            outer=self,
            usual=self._usual,
        )
        return compiler.plan()

    def _check_output(self) -> None:
        at = f"{self._at}/output"
        value = value_of(self._form.output)
        for found in uses_in(value, at, "output"):
            if not isinstance(found, Use):
                self._mistakes.append(found)
            elif reason := self._bad_use(found, None):
                self._wrong(found.at, reason)

    # References

    def _bad_use(self, use: Use, draft: _Draft | None) -> str | None:
        """Why a step, or the output (None), cannot use a reference; None when it can."""
        reference = use.reference
        handler = draft is not None and draft.group is not Group.STEPS
        match reference.root:
            case "item":
                return self._bad_item(use, draft)
            case "error" if not handler:
                return "only on_failure and finally steps can refer to the error"
            case "workflow" if reference.path[1] == "state" and not handler:
                return "only on_failure and finally steps can refer to the workflow's state"
            case "input" if use.expected:
                return self._bad_input(reference)
            case "steps":
                return self._bad_step(reference, draft)
        return None

    def _bad_input(self, reference: Reference) -> str | None:
        """Why a reference into the input is wrong; of a sub-workflow's input, only the names are known."""
        if self._names is not None and len(reference.path) > 1 and reference.path[1] not in self._names:
            close = alike(reference.path[1], self._names, 0.5)
            hint = f"; did you mean input.{close}?" if close else ""
            return f"{{{{ {reference.text} }}}}: there is no such thing in the input{hint}"
        if self._input and not self._input.has(reference):
            return f"{{{{ {reference.text} }}}}: there is no such thing in the input"
        return None

    def _bad_item(self, use: Use, draft: _Draft | None) -> str | None:
        if draft is None or draft.form.map is None:
            return "there is an item only in the params of a step with a map"
        return None if use.place == "params" else f"{use.place} is looked at once, before there are items"

    def _bad_step(self, reference: Reference, draft: _Draft | None) -> str | None:
        target = self._drafts.get(reference.path[1])
        group = draft.group if draft else Group.STEPS
        if target is None:
            return self._unknown(reference.path[1])
        if target is draft:
            return f"the step {target.id} refers to itself"
        if _LATER[target.group] > _LATER[group]:
            return f"{target.id} runs later, as one of {target.group}"
        if reference.path[2] in ("stats", "results") and target.form.map is None:
            return f"{target.id} has no map, so it has no {reference.path[2]}"
        return None

    def _unknown(self, step_id: str) -> str:
        if found := self._elsewhere(step_id):
            return found
        many = len(self._mistakes) > bounds.MAX_MISTAKES  # only the first mistakes are shown
        close = None if many else alike(step_id, self._drafts, 0.6)
        return f"{_NO_STEP} {step_id[:100]!r}" + (f"; did you mean {close}?" if close else "")

    def _elsewhere(self, step_id: str) -> str | None:
        """What to say of a step that belongs to the workflow around this one, or to a sub-workflow."""
        outer = self._outer
        while outer:
            if step_id in outer._drafts:  # noqa: SLF001 - of another compiler
                return (
                    f"{step_id} is a step of the workflow around this one: give its result to this workflow as input,"
                    " and refer to that"
                )
            outer = outer._outer  # noqa: SLF001
        for draft in self._drafts.values():
            inner = draft.form.workflow
            if inner and any(found == step_id for _, found, _, _ in named_steps(inner)):
                return f"{step_id} is a step inside of the workflow of the step {draft.id}: name {draft.id}"
        return None

    # Edges

    def _arranged(self, drafts: list[_Draft]) -> tuple[list[PlannedStep], list[str]]:
        """The steps of a group in an order in which they can run, and its longest path."""
        numbers = {draft.id: number for number, draft in enumerate(drafts)}
        for draft in drafts:
            draft.parents = self._declared(draft, numbers)
        levels = self._levels(drafts, numbers)
        if levels is None:
            return [], []
        edges, order = _edges(drafts, numbers), graph.order_of(levels)
        ancestors = graph.ancestors_of(edges, order)
        for number, draft in enumerate(drafts):
            self._check_order(draft, numbers, ancestors[number])
            counted = set() if draft.rule in EARLY else set(draft.parents)
            draft.awaits = [step for step in draft.referred if step in numbers and step not in counted]
        return self._planned(drafts, numbers, levels)

    def _declared(self, draft: _Draft, numbers: Mapping[str, int]) -> list[str]:
        """The parents of a step: its `depends_on`, or else the steps that it refers to."""
        if draft.form.depends_on is None:
            return [step for step in draft.referred if step in numbers]
        parents: dict[str, None] = {}
        for number, step in enumerate(draft.form.depends_on):
            if reason := self._bad_parent(step, draft, numbers, parents):
                self._wrong(f"{draft.at}/depends_on/{number}", reason)
            else:
                parents[step] = None
        return list(parents)

    def _bad_parent(self, step: str, draft: _Draft, numbers: Mapping[str, int], parents: Container[str]) -> str | None:
        if step == draft.id:
            return f"the step {step} depends on itself"
        if step in parents:
            return f"{step} is given twice"
        if step in numbers:
            return None
        if step in self._drafts:
            return f"{step} is one of {self._drafts[step].group}: only steps of the same list can be depended on"
        return self._unknown(step)

    def _check_order(self, draft: _Draft, numbers: Mapping[str, int], ancestors: int) -> None:
        """What a step refers to must come before it."""
        for use in draft.uses:
            step = use.reference.step or ""
            if step in numbers and not ancestors >> numbers[step] & 1:
                self._wrong(use.at, f"{step} {_NO_ORDER} {draft.id}: add it to depends_on")

    def _levels(self, drafts: list[_Draft], numbers: Mapping[str, int]) -> list[int] | None:
        edges = _edges(drafts, numbers)
        levels = [level for level in graph.levels_of(edges) if level is not None]
        if len(levels) == len(drafts):
            return levels
        for cycle in graph.cycles_of(edges):
            first = cycle.index(min(cycle))
            ids = [drafts[number].id for number in cycle[first:] + cycle[:first]]
            self._wrong(f"{drafts[min(cycle)].at}/depends_on", f"a cycle: {_needs(ids)}")
        return None

    # The plan

    def _planned(
        self, drafts: list[_Draft], numbers: Mapping[str, int], levels: list[int]
    ) -> tuple[list[PlannedStep], list[str]]:
        order = graph.order_of(levels)
        place = {drafts[number].id: at for at, number in enumerate(order)}
        later = graph.dependents_of([[numbers[step] for step in {*d.parents, *d.awaits}] for d in drafts])
        for draft in drafts:
            self._check_rule(draft)
        longest = graph.longest_path(_edges(drafts, numbers), levels)
        return [
            self._step(
                drafts[number], levels[number], sorted((drafts[d].id for d in later[number]), key=place.__getitem__)
            )
            for number in order
        ], [drafts[number].id for number in longest]

    def _check_rule(self, draft: _Draft) -> None:
        count = len(draft.parents)
        if draft.rule in _NEEDS_PARENTS and not count:
            self._wrong(f"{draft.at}/run_if", f"{draft.rule} {_TOO_FEW}")
        if isinstance(draft.form.run_if, AtLeastForm) and draft.form.run_if.at_least > count:
            self._wrong(f"{draft.at}/run_if/at_least", f"it depends on {count} {_FEWER}")

    def _step(self, draft: _Draft, level: int, dependents: list[str]) -> PlannedStep:
        form = draft.form
        return PlannedStep(
            id=draft.id,
            group=draft.group,
            kind=form.kind,
            parents=tuple(draft.parents),
            awaits=tuple(draft.awaits),
            dependents=tuple(dependents),
            level=level,
            rule=draft.rule,
            at_least=form.run_if.at_least if isinstance(form.run_if, AtLeastForm) else 0,
            reads=tuple(draft.referred),
            when=form.when,
            map=None if form.map is None else planned_map(form.map),
            allow_failure=form.allow_failure,
            job_type=form.job_type or "",
            params=bytes(form.params).decode(errors="replace"),
            queue=form.queue or self._usual.queue,
            priority=priority_of(form.priority, self._usual.priority),
            retry=None if form.retry is None else planned_retry(form.retry),
            timeout_seconds=planned_seconds(form.timeout_seconds),
            wait=form.wait,
            approval=None if form.approval is None else planned_approval(form.approval),
            workflow=draft.workflow,
            refers=needs_filling(form),
        )

    def _wrong(self, at: str, reason: str) -> None:
        self._mistakes.append((at, reason))


def _names_given(step: StepForm) -> list[str] | None:
    """The names of the input fields that a step gives its sub-workflow; None when they are not known yet."""
    given = [value_of(step.params), value_of(step.input)]
    return [name for value in given for name in value] if all(isinstance(value, dict) for value in given) else None


def _count_steps(form: WorkflowForm) -> int:
    count = 0
    forms = [form]
    while forms:
        inner = forms.pop()
        steps = [*inner.steps, *inner.on_failure, *inner.finally_]
        count += len(steps)
        forms += [step.workflow for step in steps if step.workflow]
    return count


def _edges(drafts: list[_Draft], numbers: Mapping[str, int]) -> list[list[int]]:
    return [[numbers[step] for step in draft.parents] for draft in drafts]


def _needs(ids: list[str]) -> str:
    shown = [*ids, ids[0]] if len(ids) <= _NAMED_IN_CYCLE else [*ids[:_NAMED_IN_CYCLE], "…"]
    return " needs ".join(shown)
