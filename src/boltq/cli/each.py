"""Does one thing to each of many jobs or workflows, and says what became of each: cancel, retry, replay, delete ..."""

import argparse
from collections.abc import Callable
from typing import Any

import msgspec

from boltq.cli import show
from boltq.cli.api import Api, with_api
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


def do_to_each(args: argparse.Namespace, call: Callable[[str], Request[Any]], done: str) -> int:
    """Make the call for each of `args.ids`, and print what became of it; `done` is said where no state is answered."""

    async def work(api: Api) -> int:
        rows = [await _do(api, call(job_id), job_id) for job_id in dict.fromkeys(args.ids)]
        _print(rows, done, as_json=args.json)
        return OK if all(row.ok for row in rows) else FAILED

    return with_api(args, work)


async def _do(api: Api, request: Request[Any], job_id: str) -> ResultRow:
    try:
        standing = await api.ask(request)
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


def _print(rows: list[ResultRow], done: str, *, as_json: bool) -> None:
    """A line for each id, or one JSON document."""
    if as_json:
        show.document({"items": [{"id": r.id, "ok": r.ok, "state": r.state, "refusal": r.refusal} for r in rows]})
        return
    for row in rows:
        if row.ok:
            print(f"{show.clean(row.id)}  {row.text or row.state or done}")
        else:
            complain(row.text)
