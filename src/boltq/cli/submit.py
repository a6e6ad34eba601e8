"""`boltq submit`: submits a job, or many; and waits for its end if asked to."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from boltq.cli.options import add_json, moment, seconds

if TYPE_CHECKING:
    from boltq.cli.session import Session
    from boltq.domain.job import NewJob

_EXAMPLES = """\
examples:
  boltq submit echo message="Hello World"
  boltq submit sleep seconds=2 --wait
  boltq submit email '{"to": "a@example.com", "tags": ["new"]}' --queue mail --delay 5m
  jq -c '.users[]' users.json | boltq submit welcome --many -

The data are one JSON object, or key=value pairs: a value that reads as JSON is JSON (3, true), any other is text.
`-` reads the JSON from standard input; with --many, one object a line is one job.
If nobody runs the embedded store, it is started for the submission: the job waits in it for a worker."""

_OPTION_OF: Final = {
    "/delay_seconds": "--delay",
    "/expires_in_seconds": "--expires-in",
    "/timeout_seconds": "--timeout",
    "/idempotency_key": "--key",
    "/run_at": "--run-at",
    "/max_attempts": "--max-attempts",
    "/priority": "--priority",
    "/queue": "--queue",
    "/type": "TYPE",
    "/data": "the data",
}
_BATCH: Final = 5_000  # jobs of one step with --many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = _EXAMPLES
    parser.add_argument("type", metavar="TYPE", help="the job type")
    parser.add_argument("data", nargs="*", metavar="JSON | key=value", help="the job's data")
    parser.add_argument("--queue", help="the queue (default)")
    parser.add_argument("--priority", help="high, normal or low (normal)")
    parser.add_argument("--delay", type=seconds, metavar="TIME", help="not before: 90, 90s, 5m, 2h, 1d from now")
    parser.add_argument(
        "--run-at", type=moment, metavar="WHEN", help="not before: 2030-01-31T09:30:00Z, or unix seconds"
    )
    parser.add_argument("--expires-in", type=seconds, metavar="TIME", help="cancelled unless it has started by then")
    parser.add_argument("--max-attempts", type=int, metavar="N", help="how often it may run")
    parser.add_argument("--timeout", type=seconds, metavar="TIME", help="how long one run may take")
    parser.add_argument("--key", metavar="KEY", help="an idempotency key: the same key again is the same job")
    parser.add_argument("--many", action="store_true", help="one JSON object a line of standard input, each a job")
    parser.add_argument("--wait", action="store_true", help="wait for the end; print the result")
    parser.add_argument("--timeout-wait", type=seconds, metavar="TIME", help="wait at most so long (exit code 4)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Submit."""
    from boltq.cli.session import with_store
    from boltq.domain.errors import InvalidJob

    try:
        if args.many:
            _check_many(args)
            return with_store(lambda session: _submit_many(session, args), start=True)
        job = _job(args, _data(args.data))
        return with_store(lambda session: _submit(session, job, args), start=True)
    except InvalidJob as error:
        raise InvalidJob([(_OPTION_OF.get(pointer, pointer), why) for pointer, why in error.errors]) from None


async def _submit(session: "Session", job: "NewJob", args: argparse.Namespace) -> int:
    from boltq.broker.broker import raise_if_refused, repeated
    from boltq.cli import show

    answer = raise_if_refused((await repeated(lambda: session.broker.submit([job])))[0])
    if args.wait or args.timeout_wait is not None:
        return await _wait(session, answer.id, args)
    if args.json:
        show.document({"id": answer.id, "created": answer.created})
    else:
        print(answer.id)
        if not answer.created:
            show.note("this job was there already: the key has been used")
        await _note_absent_workers(session)
    return 0


async def _note_absent_workers(session: "Session") -> None:
    from boltq.cli import show

    if not await session.inspector.workers():
        show.note("no worker is running: the job waits for one (`boltq worker` or `boltq dev`)")


async def _wait(session: "Session", job_id: str, args: argparse.Namespace) -> int:
    """Wait for the end; 0 when it was completed."""
    from boltq.broker.events import Watch
    from boltq.cli import job_view, show
    from boltq.cli.failures import FAILED, STILL_WAITING, CommandFailed
    from boltq.domain.errors import WaitTimeout
    from boltq.domain.outcome import error_of
    from boltq.domain.states import JobState
    from boltq.server import shapes

    if not args.json:
        show.note(job_id)
        await _note_absent_workers(session)
    watch = Watch(session.broker)
    try:
        job = await watch.end_of(job_id, args.timeout_wait)
    except WaitTimeout as error:
        raise CommandFailed(str(error), STILL_WAITING) from None
    finally:
        await watch.close()
    if args.json:
        show.document(shapes.view(job))
        return 0 if job.state is JobState.COMPLETED else FAILED
    if job.state is JobState.COMPLETED:
        print(show.clean_lines(job_view.pretty(job.result)))
        return 0
    why = job_view.one_line(error_of(job.error)) if job.error else job.reason
    raise CommandFailed(f"job {job_id} is {job.state}: {why}")


# Many


def _check_many(args: argparse.Namespace) -> None:
    from boltq.cli.failures import USAGE, CommandFailed

    if args.data not in ([], ["-"]):
        raise CommandFailed("--many reads the data from standard input, one JSON object a line", USAGE)
    if args.key or args.wait:
        raise CommandFailed("--many goes neither with --key nor with --wait", USAGE)


async def _submit_many(session: "Session", args: argparse.Namespace) -> int:
    from boltq.broker.broker import raise_if_refused, repeated
    from boltq.cli import show
    from boltq.cli.failures import FAILED, CommandFailed, known
    from boltq.domain.errors import BoltQError

    ids: list[str] = []
    try:
        for batch in _batches(args):
            answers = await repeated(lambda jobs=batch: session.broker.submit(jobs))  # type: ignore[misc]
            ids += [raise_if_refused(answer).id for answer in answers]
    except BoltQError as error:
        code, text = known(error) or (FAILED, str(error))
        raise CommandFailed(f"{text} ({len(ids)} jobs before it were submitted)", code) from error
    if args.json:
        show.document({"submitted": len(ids), "ids": ids})
        return 0
    for job_id in ids:
        print(job_id)
    show.note(f"{len(ids)} jobs submitted")
    return 0


def _batches(args: argparse.Namespace) -> "Iterator[list[NewJob]]":
    batch: list[NewJob] = []
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            batch.append(_job(args, _object(line.strip(), f"line {number}"), f"line {number}: "))
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# What is submitted


def _job(args: argparse.Namespace, data: str, where: str = "") -> "NewJob":
    """A job with the options of the command line. Raises InvalidJob."""
    from boltq.app import Options
    from boltq.domain.errors import InvalidJob

    options = Options(
        queue=args.queue,
        priority=_priority(args.priority),
        delay=args.delay,
        run_at=args.run_at,
        expires_in=args.expires_in,
        max_attempts=args.max_attempts,
        timeout=args.timeout,
        idempotency_key=args.key,
    )
    try:
        return options.new_job(args.type, data)
    except InvalidJob as error:
        raise InvalidJob(
            [(_OPTION_OF.get(pointer, pointer), f"{where}{why}") for pointer, why in error.errors]
        ) from None


def _priority(text: str | None) -> str | int | None:
    return int(text) if text and text.isdigit() else text


def _data(words: list[str]) -> str:
    """The JSON text of the data. JSON is kept as it was written."""
    if words == ["-"]:
        return _object(sys.stdin.read(), "standard input")
    if len(words) == 1 and words[0].lstrip()[:1] in {"{", "["}:
        return _object(words[0], "the data")
    return _from_pairs(words)


def _from_pairs(words: list[str]) -> str:
    import msgspec

    from boltq.domain.errors import InvalidJob

    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidJob([("the data", f"{word!r:.80} is neither JSON nor key=value")])
        pairs[key] = _value(value)
    return msgspec.json.encode(pairs).decode()


def _value(text: str) -> Any:
    import msgspec

    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return msgspec.Raw(text.strip())  # as it was written: big integers survive


def _object(text: str, where: str) -> str:
    """The text itself, once it has been found to be a JSON object."""
    import msgspec

    from boltq.domain.errors import InvalidJob

    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidJob([("the data", f"{where}: must be a JSON object: {error}")]) from None
    return text
