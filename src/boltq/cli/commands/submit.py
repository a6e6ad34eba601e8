"""`boltq submit`: submits a job, or many; and waits for its end if asked to."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from boltq.cli.options import add_json, add_place, moment, seconds

if TYPE_CHECKING:
    from boltq.cli.api import Api
    from boltq.client.answers import SubmittedJob
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
    "/tags": "--tag",
    "/title": "--title",
    "/type": "TYPE",
    "/data": "the data",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--tag", action="append", help="a name to find the job by; once for each of them")
    parser.add_argument("--title", metavar="TEXT", help="one line for people, shown in lists")
    parser.add_argument("--many", action="store_true", help="one JSON object a line of standard input, each a job")
    parser.add_argument("--wait", action="store_true", help="wait for the end; print the result")
    parser.add_argument("--timeout-wait", type=seconds, metavar="TIME", help="wait at most so long (exit code 4)")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Submit."""
    from boltq.cli.api import with_api
    from boltq.domain.errors import InvalidJob

    try:
        if args.many:
            _check_many(args)
            return with_api(args, lambda api: _submit_many(api, args), start=True)
        job = _job(args, _data(args.data))
        return with_api(args, lambda api: _submit(api, job, args), start=True)
    except InvalidJob as error:
        raise InvalidJob([(_OPTION_OF.get(pointer, pointer), why) for pointer, why in error.errors]) from None


async def _submit(api: "Api", job: "NewJob", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.client import talk

    answer = await api.carry(talk.submit(job))
    if args.wait or args.timeout_wait is not None:
        return await _wait(api, answer, args)
    if args.json:
        show.document({"id": answer.id, "created": answer.created, "warnings": answer.warnings})
    else:
        print(answer.id)
        if not answer.created:
            show.note("this job was there already: the key has been used")
        _note_warnings(answer, args)
    return 0


def _note_warnings(answer: "SubmittedJob", args: argparse.Namespace) -> None:
    """Why the job may wait; and in which store, since its worker may use another one."""
    from boltq.broker.store import place_of
    from boltq.cli import show
    from boltq.settings import Settings

    for warning in answer.warnings:
        show.note(warning)
    settings = Settings.from_env(url=args.url)
    if answer.warnings and not settings.url:
        show.note(f"{place_of(settings)}; start a worker on it with `boltq worker` or `boltq dev`")


async def _wait(api: "Api", submitted: "SubmittedJob", args: argparse.Namespace) -> int:
    """Wait for the end; 0 when it was completed."""
    from boltq.cli import job_view, show
    from boltq.cli.failures import FAILED, STILL_WAITING, CommandFailed
    from boltq.client import calls, talk
    from boltq.domain.errors import WaitTimeout
    from boltq.domain.states import JobState

    job_id = submitted.id
    if not args.json:
        show.note(job_id)
        _note_warnings(submitted, args)
    try:
        job = await api.carry(talk.end_of(job_id, args.timeout_wait))
    except WaitTimeout as error:
        raise CommandFailed(str(error), STILL_WAITING) from None
    if args.json:
        show.document(await api.document(calls.get_job(job_id)))
        return 0 if job.state is JobState.COMPLETED else FAILED
    if job.state is JobState.COMPLETED:
        print(show.clean_lines(job_view.pretty(job.result_json) or "null"))
        return 0
    why = job_view.one_line(job.error) if job.error else job.reason
    raise CommandFailed(f"job {job_id} is {job.state}: {why}")


# Many


def _check_many(args: argparse.Namespace) -> None:
    from boltq.cli.failures import USAGE, CommandFailed

    if args.data not in ([], ["-"]):
        raise CommandFailed("--many reads the data from standard input, one JSON object a line", USAGE)
    if args.key or args.wait:
        raise CommandFailed("--many goes neither with --key nor with --wait", USAGE)


async def _submit_many(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.cli.failures import FAILED, CommandFailed, known
    from boltq.client import talk
    from boltq.domain.errors import BoltQError

    ids: list[str] = []
    try:
        for batch in _batches(args):
            for answer in await api.carry(talk.submit_batch(batch, len(ids))):
                if isinstance(answer, BoltQError):
                    raise answer
                ids.append(answer.id)
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
    from boltq.client.talk import batches

    def jobs() -> "Iterator[NewJob]":
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                yield _job(args, read_object(line.strip(), f"line {number}"), f"line {number}: ")

    return (batch for _, batch in batches(jobs()))


# What is submitted


def _job(args: argparse.Namespace, data: str, where: str = "") -> "NewJob":
    """A job with the options of the command line. Raises InvalidJob."""
    from boltq.domain.errors import InvalidJob
    from boltq.domain.options import Options

    options = Options(
        queue=args.queue,
        priority=read_priority(args.priority),
        delay=args.delay,
        run_at=args.run_at,
        expires_in=args.expires_in,
        max_attempts=args.max_attempts,
        timeout=args.timeout,
        idempotency_key=args.key,
        tags=args.tag,
        title=args.title,
    )
    try:
        return options.new_job(args.type, data)
    except InvalidJob as error:
        raise InvalidJob(
            [(_OPTION_OF.get(pointer, pointer), f"{where}{why}") for pointer, why in error.errors]
        ) from None


def read_priority(text: str | None) -> str | int | None:
    """A priority by its word or its number."""
    return int(text) if text and text.isdigit() else text


def _data(words: list[str]) -> str:
    """The JSON text of the data. JSON is kept as it was written."""
    if words == ["-"]:
        return read_object(sys.stdin.read(), "standard input")
    if len(words) == 1 and words[0].lstrip()[:1] in {"{", "["}:
        return read_object(words[0], "the data")
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


def read_object(text: str, where: str) -> str:
    """The text itself, once it has been found to be a JSON object."""
    import msgspec

    from boltq.domain.errors import InvalidJob

    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidJob([("the data", f"{where}: must be a JSON object: {error}")]) from None
    return text
