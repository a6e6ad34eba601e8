"""Draws docs/pictures/workflow-run.svg: what `boltq workflow show` says of a real run, in the middle of it.

Run it after a change of how workflows are drawn: .venv/bin/python scripts/draw_workflow.py
It starts a store and a worker of its own, and stops them again.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from boltq import BoltQ, JobContext, Settings, Worker, Workflow, item
from boltq.broker.store import Store
from boltq.cli.api import Api
from boltq.cli.api_here import own_api
from boltq.cli.workflows import graph
from boltq.cli.workflows.view import drawn, headline
from boltq.client.workflows import calls
from boltq.client.workflows.answers import WorkflowInfo
from boltq.domain.outcome import TransientError
from boltq.domain.retry import Backoff
from boltq.domain.workflow.states import StepState

FILE: Final = Path(__file__).parent.parent / "docs" / "pictures" / "workflow-run.svg"
ORDERS: Final = 20
DONE: Final = 12  # of them, when the picture is made


# The run


def invoices(app: BoltQ, held: asyncio.Event) -> Workflow:
    """A workflow of which some steps go on until `held` is set."""

    @app.task
    async def fetch_orders(month: str) -> list[int]:
        await asyncio.sleep(0.4)
        return list(range(ORDERS)) if month else []

    @app.task
    async def render(order: int) -> str:
        if order >= DONE:
            await held.wait()
        return f"{order}.pdf"

    @app.task
    async def update_ledger(job: JobContext, orders: list[int]) -> int:
        if job.attempt == 1:
            raise TransientError("the ledger is locked")
        await asyncio.sleep(0.1)
        return len(orders)

    @app.task(max_attempts=1)
    async def greet() -> None:
        raise ConnectionError("nobody answers")

    @app.task
    async def copy(orders: list[int]) -> int:
        await held.wait()
        return len(orders)

    @app.task
    async def act(**data: Any) -> None: ...

    archive = Workflow("archive", orders=[])
    archive.step(copy, orders=archive.input["orders"])
    flow = Workflow("invoices", month="2026-11")
    orders = flow.options(id="fetch-orders").step(fetch_orders, month=flow.input["month"])
    ledger = flow.options(id="ledger", backoff=Backoff(base=0.01)).step(update_ledger, orders=orders.result)
    flow.options(id="greet", after=[orders], allow_failure=True).step(greet)
    flow.options(id="warn", after=[ledger], run_if="one_failed").step(act)
    rendered = flow.options(id="render").map(orders.result, max_concurrency=3).step(render, order=item)
    release = flow.options(id="release", after=[orders]).approval("Send the invoices of November?")
    stored = flow.options(id="archive", after=[orders]).workflow(archive, orders=orders.result)
    sent = flow.options(id="send", after=[rendered, release, stored]).step(act)
    flow.options(id="report", after=[sent]).step(act)
    flow.finally_.options(id="tidy").step(act)
    return flow


async def look(settings: Settings, address: str) -> tuple[WorkflowInfo, datetime]:
    """The run in its middle, as the API answers it, and the time at which it did."""
    held = asyncio.Event()
    app = BoltQ(settings=replace(settings, redis_addr=address))
    flow = invoices(app, held)
    worker = Worker(app, slots=12)
    running = asyncio.create_task(worker.run())
    run = await app.submit_workflow(flow)
    async with own_api(settings, address, begin=True) as exchange:
        api = Api(exchange)
        while not _in_the_middle(found := await api.ask(calls.get_workflow(run.id, wait=0.1))):
            pass
    await run.cancel()
    held.set()
    worker.stop()
    await running
    await app.close()
    return found, api.now


def _in_the_middle(workflow: WorkflowInfo) -> bool:
    states = {step.id: step.state for step in workflow.steps}
    done = workflow.step("render").map
    settled = [states["ledger"], states["greet"], states["warn"], states["release"], states["archive"]]
    wanted = [StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.WAITING, StepState.RUNNING]
    return settled == wanted and done is not None and done.completed == DONE


# The picture: rails and symbols are shapes, so that they look right with any font


ROW: Final = 24
CELL: Final = 11  # of a character of the rails
LETTER: Final = 8.4  # of the font, at 14 px
LEFT: Final = 24
TOP: Final = 84
WIDTH: Final = 900
UP, DOWN, LEFTWARDS, RIGHTWARDS = "UDLR"
ARMS: Final = dict(zip("│─╯╮┤╰╭├┴┼", ("UD", "LR", "UL", "DL", "UDL", "UR", "DR", "UDR", "ULR", "UDLR"), strict=True))
PAPER: Final = "#14181f"
COLOURS: Final = {"31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "34": "#79a8ff", "35": "#d2a8ff", "36": "#4cc9e6"}
RAIL: Final = "#56606e"
FAINT: Final = "#8b95a3"
TEXT: Final = "#e3e8ee"
SHAPES: Final = {
    "✓": '<circle r="7" fill="{c}"/><path d="M-3.2 .2 -.9 2.6 3.3 -2.4" stroke="{p}" stroke-width="1.8" fill="none"/>',
    "✗": '<circle r="7" fill="{c}"/><path d="M-2.6 -2.6 2.6 2.6M2.6 -2.6 -2.6 2.6" stroke="{p}" stroke-width="1.8"/>',
    "●": '<circle r="6" fill="{p}" stroke="{c}" stroke-width="2"/><circle r="3" fill="{c}"/>',
    "⏸": '<circle r="7" fill="{c}"/><path d="M-2 -3V3M2 -3V3" stroke="{p}" stroke-width="1.8"/>',
    "◌": '<circle r="6" fill="{p}" stroke="{c}" stroke-width="2" stroke-dasharray="2.2 2.2"/>',
    "○": '<circle r="6" fill="{p}" stroke="{c}" stroke-width="1.6"/>',
    "⊖": '<g stroke="{c}" stroke-width="1.6"><circle r="6" fill="{p}"/><path d="M-3 0H3"/></g>',
    "⊘": '<g stroke="{c}" stroke-width="1.6"><circle r="6" fill="{p}"/><path d="M-4 4 4 -4"/></g>',
}  # fmt: skip


def svg(workflow: WorkflowInfo, now: datetime) -> str:
    """The picture, with its own background, so that it looks the same on any page."""
    lines = graph.draw([drawn(step) for step in workflow.steps])
    height = TOP + ROW * len(lines) + 22
    parts = [f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{PAPER}"/>']
    parts.append(_text(LEFT, 34, f"$ boltq workflow show {workflow.id}", FAINT))
    parts.append(_text(LEFT, 62, headline(workflow, now), TEXT))
    parts += [f'<g stroke="{RAIL}" stroke-width="1.6" fill="none">{"".join(_rails(lines))}</g>', *_symbols(lines)]
    parts += _words(lines)
    font = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14"'
    title = f"<title>A drawing of the workflow {escape(workflow.name)} in the middle of a run</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" {font}>'
    return "\n".join([head, title, *parts, "</svg>", ""])


def _rails(lines: list[graph.DrawnLine]) -> Iterator[str]:
    for number, line in enumerate(lines):
        above = lines[number - 1] if number else graph.DrawnLine()
        for at, character in enumerate(line.rails):
            arms = ARMS.get(character, "")
            if at == line.place:
                arms = UP if _from_above(line, above) else ""
            if arms:
                yield _path(_x(at), _y(number), arms)
        after = lines[number + 1] if number + 1 < len(lines) else graph.DrawnLine()
        if line.place >= 0 and (_is_rail(after, line.place) or _goes_on(line, after)):
            yield f'<path d="M{_x(line.place)} {_y(number)}V{_y(number + 1)}"/>'


def _from_above(line: graph.DrawnLine, above: graph.DrawnLine) -> bool:
    return DOWN in ARMS.get(above.rails[line.place : line.place + 1], "") and line.place != above.place


def _is_rail(after: graph.DrawnLine, at: int) -> bool:
    return after.place != at and UP in ARMS.get(after.rails[at : at + 1], "")


def _goes_on(line: graph.DrawnLine, after: graph.DrawnLine) -> bool:
    """Whether two symbols stand one below the other, the second as what comes after the first."""
    entered = after.rails[: after.place].endswith("─")
    left = set(line.rails[line.place :]) & set("╮┤") and line.rails[line.place + 1 : line.place + 2] == "─"
    return after.place == line.place and not entered and not left


def _path(x: float, y: float, arms: str) -> str:
    """The arms of a character. Where there are only two that are not opposite, they are one curve."""
    half, high = CELL / 2, ROW / 2
    ends = {UP: (x, y - high), DOWN: (x, y + high), LEFTWARDS: (x - half, y), RIGHTWARDS: (x + half, y)}
    if len(arms) == 2 and arms not in ("UD", "LR"):  # noqa: PLR2004 - a corner
        (x1, y1), (x2, y2) = ends[arms[0]], ends[arms[1]]
        return f'<path d="M{x1} {y1}Q{x} {y} {x2} {y2}"/>'
    return "".join(f'<path d="M{x} {y}L{ends[arm][0]} {ends[arm][1]}"/>' for arm in arms)


def _symbols(lines: list[graph.DrawnLine]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if shape := SHAPES.get(line.sign.symbol) if line.place >= 0 else None:
            drawing = shape.format(c=COLOURS.get(line.sign.colour, FAINT), p=PAPER)
            yield f'<g transform="translate({_x(line.place)} {_y(number)})">{drawing}</g>'


def _words(lines: list[graph.DrawnLine]) -> Iterator[str]:
    name = LEFT + CELL * (max(len(line.rails) for line in lines) + 1)
    state = name + LETTER * (max(len(line.name) for line in lines) + 3)
    note = state + LETTER * 12
    for number, line in enumerate(lines):
        y = _y(number) + 5
        if not line.state:
            yield _text(name if line.rails else LEFT, y, line.note, FAINT if line.rails else TEXT)
            continue
        yield _text(name, y, line.name, TEXT)
        yield _text(state, y, line.state, COLOURS.get(line.sign.colour, FAINT))
        room = int((WIDTH - LEFT - note) / LETTER)
        yield _text(note, y, line.note if len(line.note) <= room else f"{line.note[: room - 1]}…", FAINT)


def _text(x: float, y: float, text: str, colour: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" xml:space="preserve">{escape(text)}</text>' if text else ""


def _x(at: int) -> float:
    return LEFT + CELL * (at + 0.5)


def _y(number: int) -> float:
    return TOP + ROW * (number + 0.5)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        settings = Settings(data_dir=folder)
        with Store(settings) as store:
            FILE.parent.mkdir(parents=True, exist_ok=True)
            FILE.write_text(svg(*asyncio.run(look(settings, store.address))), encoding="utf-8")
    print(FILE)
