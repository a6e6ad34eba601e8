"""How `boltq workflow` shows workflows: a list, a drawing that can follow a run, a step with everything, and why."""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from boltq.cli import show
from boltq.cli.api import Api, with_api
from boltq.cli.failures import OK, USAGE, CommandFailed
from boltq.cli.job_view import one_line, pretty
from boltq.cli.workflows import graph
from boltq.client.answers import Page
from boltq.client.request import Request
from boltq.client.workflows import calls
from boltq.client.workflows.answers import (
    ApprovalInfo,
    ItemInfo,
    StepExplanation,
    StepInfo,
    StepPage,
    WorkflowHead,
    WorkflowInfo,
    WorkflowSummary,
)
from boltq.domain.errors import InvalidJob
from boltq.domain.limits import MAX_PAGE
from boltq.domain.workflow.plan import Group
from boltq.domain.workflow.states import StepState, WorkflowState

_LOOK_AGAIN: Final = 0.5  # seconds
_AROUND: Final = 6  # lines of a terminal that are not for steps


def run(args: argparse.Namespace) -> int:
    """Show it."""
    match args.action:
        case "list":
            _check_states(args.state)
            return with_api(args, lambda api: _list(api, args))
        case "approvals":
            return with_api(args, lambda api: _list_approvals(api, args))
        case "explain":
            return with_api(args, lambda api: _explain(api, args))
    if not args.step and (args.state or args.cursor):
        raise CommandFailed("--state and --cursor are of the items of a map: name its STEP", USAGE)
    if args.watch and not args.json:
        return with_api(args, lambda api: _watch(api, args))
    return with_api(args, lambda api: _show(api, args))


# A list


def _check_states(words: str | None) -> None:
    for word in filter(None, (words or "").split(",")):
        if word not in set(WorkflowState):
            raise InvalidJob([("--state", f"no state {word!r}: one of {', '.join(WorkflowState)}")])


async def _list(api: Api, args: argparse.Namespace) -> int:
    def call(limit: int, cursor: str | None) -> Request[Any]:
        return calls.list_workflows(
            limit=limit,
            cursor=cursor,
            state=args.state,
            name=args.name,
            created_after=args.since,
            nested=args.nested,
            within=args.within,
        )

    if args.json:
        show.document(await api.read(call, msgspec.Raw, args.limit, args.cursor))
        return OK
    page: Page[WorkflowSummary] = await api.read(call, WorkflowSummary, args.limit, args.cursor)
    rows = [
        (one.id, state_of(one), one.name, f"{one.ended}/{one.steps}", one.failed, show.between(one.since, api.now))
        for one in page.items
    ]
    show.table(("id", "state", "name", "steps", "failed", "for"), rows, right=("steps", "failed", "for"))
    if page.next_cursor:
        show.note(f"there are more: --cursor {page.next_cursor}")
    return OK


async def _list_approvals(api: Api, args: argparse.Namespace) -> int:
    def call(limit: int, cursor: str | None) -> Request[Any]:
        return calls.list_approvals(limit=limit, cursor=cursor)

    if args.json:
        show.document(await api.read(call, msgspec.Raw, args.limit, args.cursor))
        return OK
    page: Page[ApprovalInfo] = await api.read(call, ApprovalInfo, args.limit, args.cursor)
    rows = [
        (one.workflow_id, one.step, one.workflow, show.between(one.since, api.now), one.prompt or "")
        for one in page.items
    ]
    show.table(("workflow", "step", "name", "for", "question"), rows, right=("for",))
    if page.next_cursor:
        show.note(f"there are more: --cursor {page.next_cursor}")
    return OK


def state_of(workflow: WorkflowHead) -> str:
    """A step's state in words."""
    if workflow.paused:
        return "paused"
    if not workflow.ending or workflow.state == workflow.ending:
        return workflow.state
    return f"{workflow.state} ({workflow.ending.replace('_', ' ')})"


# One workflow


async def _show(api: Api, args: argparse.Namespace) -> int:
    if args.step:
        return await _show_step(api, args)
    request = calls.get_workflow(args.id, generation=args.generation)
    if args.json:
        show.document(await api.document(request))
        return OK
    found = await api.ask(request)
    print("\n".join(picture(found, api, most=None if args.all else graph.MOST)))
    show.block("output", pretty(found.output_json))
    return OK


def picture(workflow: WorkflowInfo, api: Api, *, most: int | None = graph.MOST) -> list[str]:
    """A workflow as lines of text, as standard output can show them."""
    lines = graph.draw([drawn(step) for step in workflow.steps], most=most)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    plain = not _has_signs(sys.stdout.encoding)
    head = headline(workflow, api.now)
    return [head, "", *graph.texts(lines, width=width, colour=_wants_colour(), ascii=plain)]


def headline(workflow: WorkflowInfo, now: datetime) -> str:
    """A workflow in one line."""
    ended = f"{workflow.ended} of {len(workflow.steps)} steps have ended"
    failed = f", {workflow.failed} failed" if workflow.failed else ""
    age = show.between(workflow.since, now)
    stands = f"{state_of(workflow)} {age} ago" if workflow.finished_at else f"{state_of(workflow)} for {age}"
    latest = workflow.latest_generation
    past = f"; run {workflow.generation} of {latest}" if workflow.generation != latest else ""
    return f"{show.clean(workflow.name)}  {workflow.id}  {stands}; {ended}{failed}{past}"


def _wants_colour() -> bool:
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    console = Console()  # it knows NO_COLOR, and terminals that cannot
    return not console.no_color and not console.is_dumb_terminal


def _has_signs(encoding: str | None) -> bool:
    """Whether the symbols of a drawing can be written."""
    try:
        "".join(sign.symbol for sign in graph.SIGNS.values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def drawn(step: StepInfo) -> graph.DrawnStep:
    """A step as it is drawn."""
    return graph.DrawnStep(
        step.id,
        step.state,
        step.depends_on,
        note=" · ".join(filter(None, _notes(step))),
        below=f"↳ {step.workflow_id}" if step.workflow_id else "",
        group=Group(step.group),
    )


def _notes(step: StepInfo) -> Iterable[str]:
    """The note beside a step: the most telling thing about it."""
    if step.map:
        ended = step.map.completed + step.map.failed + step.map.cancelled
        yield f"{ended}/{step.map.total}{f', {step.map.failed} failed' if step.map.failed else ''}"
    if step.error and step.state is not StepState.COMPLETED:
        yield one_line(step.error)
    if step.why and not step.error and not step.map:
        yield step.why.removeprefix("it ")
    if step.answer:
        yield _said(step)
    if step.attempts > 1:
        yield f"{step.attempts} attempts"
    if step.run_ms is not None:
        yield show.span(step.run_ms / 1_000)
    if step.due_at and step.state is StepState.WAITING:
        yield f"until {show.moment(show.millis(step.due_at))}"


def _said(step: StepInfo) -> str:
    if step.answer is None:
        return ""
    word = {"approve": "approved", "reject": "rejected"}.get(step.answer.decision, step.answer.decision)
    return f"{word}, as nobody answered in time" if step.answer.timed_out else f"{word} by {step.answer.by or '?'}"


# Following a run


async def _watch(api: Api, args: argparse.Namespace) -> int:
    """Draw it until it has ended: in a terminal again and again in one place, elsewhere once for each change."""
    if args.step:
        raise CommandFailed("--watch draws the whole workflow: leave the step out", USAGE)
    screen, before = _Screen(), b""
    while True:
        found = await api.ask(calls.get_workflow(args.id))
        standing = _standing(found)
        if found.has_ended:
            screen.clear()
            print("\n".join(picture(found, api, most=None if args.all else graph.MOST)))
            show.block("output", pretty(found.output_json))
            return OK
        if screen.terminal or standing != before:
            screen.draw(picture(found, api, most=screen.room))
        before = standing
        await asyncio.sleep(_LOOK_AGAIN)


def _standing(workflow: WorkflowInfo) -> bytes:
    """All of it that changes when something happens, and not with time alone."""
    steps = [(step.state, step.attempts, step.map, step.why, step.answer) for step in workflow.steps]
    return msgspec.json.encode((workflow.state, workflow.paused, workflow.ending, steps))


class _Screen:
    """Where a picture is drawn over the one before. Only lines that are there are written over, so nothing flickers."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self._height = 0

    @property
    def room(self) -> int:
        """For how many steps there is room."""
        return max(1, shutil.get_terminal_size().lines - _AROUND) if self.terminal else graph.MOST

    def draw(self, lines: list[str]) -> None:
        """Draw a picture; the last one, if there was one, is gone."""
        if not self.terminal:
            print("\n".join([*lines, ""]), flush=True)
            return
        lines = lines[: shutil.get_terminal_size().lines - 1]
        self._write("".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._height = len(lines)

    def clear(self) -> None:
        """Forget the picture."""
        if self._height:
            self._write("\x1b[J")

    def _write(self, text: str) -> None:
        up = f"\x1b[{self._height}F" if self._height else ""
        sys.stdout.write(up + text)
        sys.stdout.flush()


# One step


async def _show_step(api: Api, args: argparse.Namespace) -> int:
    states = await _wanted_items(api, args)

    def call(limit: int, cursor: str | None) -> Request[Any]:
        return calls.get_workflow_step(
            args.id, args.step, state=states, limit=limit, cursor=cursor, generation=args.generation
        )

    if args.json:
        show.document(await api.document(call(min(args.limit, MAX_PAGE), args.cursor)))
        return OK
    step: StepPage = await api.ask(call(1, None))
    page: Page[ItemInfo] = await api.read(call, ItemInfo, args.limit, args.cursor) if step.map else Page(items=[])
    show.facts(_facts(step))
    show.block("inputs", pretty(step.inputs_json))
    show.block("where they came from", "\n".join(f"{one.pointer}  {one.reference}" for one in step.sources))
    show.block("result", pretty(step.result_json))
    show.block("answer's data", pretty(msgspec.json.encode(step.answer.data)) if step.answer else "")
    show.block("traceback", step.error.traceback.rstrip() if step.error else "")
    _show_items(step, page, states)
    return OK


async def _wanted_items(api: Api, args: argparse.Namespace) -> list[str]:
    """The states of the items that are shown; none: all."""
    words = [word for word in (args.state or "").split(",") if word]
    for word in words:
        if word not in {"all", *StepState}:
            raise InvalidJob([("--state", f"no state {word!r}: one of {', '.join(StepState)}, or all")])
    if words:
        return [] if "all" in words else words
    step = await api.ask(calls.get_workflow_step(args.id, args.step, limit=1))
    return [StepState.FAILED.value] if step.map and step.map.failed else []


def _show_items(step: StepPage, page: Page[ItemInfo], states: list[str]) -> None:
    if not step.map:
        return
    counts = f"{step.map.total} items: {step.map.completed} completed, {step.map.failed} failed"
    counts += f", {step.map.cancelled} cancelled" if step.map.cancelled else ""
    print(f"\n{counts}{f'; {chr(44).join(states)}:' if states else ''}")
    rows = [(item.index, item.state, item.job_id, item.attempts, _said_of(item)) for item in page.items]
    show.table(("item", "state", "job", "attempts", "why"), rows, right=("item", "attempts"))
    if page.next_cursor:
        show.note(f"there are more: --cursor {page.next_cursor}")
    elif states == [StepState.FAILED]:
        show.note("--state all shows the others, too")


def _said_of(item: ItemInfo) -> str:
    said = one_line(item.error) if item.error else item.reason or ""
    return " · ".join(filter(None, (said, f"↳ {item.workflow_id}" if item.workflow_id else "")))


def _facts(step: StepInfo) -> Iterable[tuple[str, object]]:
    return [
        ("id", step.id),
        ("state", step.state),
        ("why", step.why),
        ("after", ", ".join(step.depends_on)),
        ("runs if", "" if step.run_if == "all_success" else step.run_if),
        ("when", step.when),
        ("type", step.job_type or step.type),
        ("job", f"{step.job_id} ({step.job_state})" if step.job_state else step.job_id),
        ("workflow", step.workflow_id),
        ("queue", step.queue),
        ("attempts", step.attempts),
        ("worker", step.worker),
        ("started", show.moment(show.millis(step.started_at))),
        ("ended", show.moment(show.millis(step.ended_at))),
        ("took", "" if step.run_ms is None else show.span(step.run_ms / 1_000)),
        ("question", step.prompt),
        ("answer", _said(step)),
        ("error", one_line(step.error) if step.error else ""),
        ("left out", "inputs and result: the workflow is too large to show all" if step.truncated else ""),
    ]


# Why


async def _explain(api: Api, args: argparse.Namespace) -> int:
    request = calls.explain_workflow(args.id)
    if args.json:
        show.document(await api.document(request))
        return OK
    found = await api.ask(request)
    print(show.clean(found.text))
    if found.steps:
        print()
        show.table(("step", "state", "why"), list(_explained(found.steps)))
    return OK


def _explained(steps: list[StepExplanation], before: str = "") -> Iterable[tuple[str, str, str]]:
    """Steps, each with those of its sub-workflows below it."""
    for step in steps:
        yield f"{before}{step.id}", step.state, step.text
        for inner in step.workflows:
            yield from _explained(inner.steps, f"{before}{step.id}/")
