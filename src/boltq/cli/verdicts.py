"""What the commands say that do one thing to many jobs: cancel, run-now, replay."""

import argparse
from collections.abc import Awaitable, Callable, Sequence

from boltq.broker.broker import Broker, Verdict
from boltq.cli import show
from boltq.cli.failures import FAILED, OK, complain
from boltq.cli.session import Session, with_store

Act = Callable[[Broker, Sequence[str]], Awaitable[list[Verdict]]]


def run(args: argparse.Namespace, act: Act, done: str) -> int:
    """Do it to `args.ids`, and say of each what became of it."""

    async def work(session: Session) -> int:
        verdicts = await act(session.broker, args.ids)
        tell(verdicts, done, as_json=args.json)
        return OK if all(verdict.ok for verdict in verdicts) else FAILED

    return with_store(work)


def tell(verdicts: Sequence[Verdict], done: str, *, as_json: bool) -> None:
    """A line for each id, or one JSON document."""
    if as_json:
        show.document({"jobs": [_row(verdict) for verdict in verdicts]})
        return
    for verdict in verdicts:
        if verdict.ok:
            print(f"{show.clean(verdict.id)}  {verdict.state}")
        elif verdict.word == "NOT_FOUND":
            complain(f"no job {verdict.id}: the id is wrong, or the job is older than the history that is kept")
        else:
            complain(f"job {verdict.id} is {verdict.state} and cannot be {done}")


def _row(verdict: Verdict) -> dict[str, object]:
    refusals = {"NOT_FOUND": "not-found", "CONFLICT": "conflict"}
    return {"id": verdict.id, "ok": verdict.ok, "state": verdict.state or None, "refusal": refusals.get(verdict.word)}
