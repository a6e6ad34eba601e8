"""What the commands say that do one thing to each of many jobs or workflows: cancel, retry, replay, delete ..."""

import argparse
from collections.abc import Callable
from typing import Any

import msgspec

from boltq.cli import show
from boltq.cli.api import Api, with_desk
from boltq.cli.failures import FAILED, OK, complain
from boltq.client.errors import Problem
from boltq.client.request import Request
from boltq.domain.errors import Conflict, NotFound


class ResultRow(msgspec.Struct):
    """What became of one id: where it stands after it, or why it was refused."""

    id: str
    ok: bool
    state: str | None = None
    refusal: str | None = None  # not-found or conflict
    text: str = ""


def run(args: argparse.Namespace, call: Callable[[str], Request[Any]], done: str) -> int:
    """Do it to `args.ids`, and say of each what became of it."""

    async def work(desk: Api) -> int:
        verdicts = [await _judge(desk, call(job_id), job_id) for job_id in dict.fromkeys(args.ids)]
        _tell(verdicts, done, as_json=args.json)
        return OK if all(verdict.ok for verdict in verdicts) else FAILED

    return with_desk(args, work)


async def _judge(desk: Api, request: Request[Any], job_id: str) -> ResultRow:
    try:
        standing = await desk.ask(request)
    except NotFound as error:
        return ResultRow(job_id, ok=False, refusal="not-found", text=str(error))
    except Conflict as error:
        problem = error.__cause__
        state = problem.members.get("state") if isinstance(problem, Problem) else None
        return ResultRow(job_id, ok=False, state=state, refusal="conflict", text=str(error))
    if standing is None:
        return ResultRow(job_id, ok=True)
    return ResultRow(standing.id, ok=True, state=standing.state, text="paused" if _is_paused(standing) else "")


def _is_paused(standing: Any) -> bool:
    return getattr(standing, "paused", False)  # jobs are not


def _tell(verdicts: list[ResultRow], done: str, *, as_json: bool) -> None:
    """A line for each id, or one JSON document."""
    if as_json:
        rows = [{"id": v.id, "ok": v.ok, "state": v.state, "refusal": v.refusal} for v in verdicts]
        show.document({"items": rows})
        return
    for verdict in verdicts:
        if verdict.ok:
            print(f"{show.clean(verdict.id)}  {verdict.text or verdict.state or done}")
        else:
            complain(verdict.text)
