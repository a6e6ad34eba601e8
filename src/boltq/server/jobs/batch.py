"""Submitting many jobs in one request: each has its own verdict, and a bad one never fails its neighbours."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.submission import SubmitResult
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, Refused, StoreUnavailable
from boltq.domain.job import NewJob, Submitted
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import BOM, MAX_BYTES, malformed, pointed, read_body, repeated_key
from boltq.server.http.caller import Caller, caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.guard import Headers
from boltq.server.http.mistakes import MistakeView
from boltq.server.http.problems import UNKNOWN_OUTCOME, Problem, problem_of
from boltq.server.http.submissions import stated_key
from boltq.server.jobs.forms import FormReader, JobForm
from boltq.server.jobs.submit import first_state, warnings_of

T = TypeVar("T")
JobText = bytes | msgspec.Raw  # the text of a job

MAX_BATCH_BYTES: Final = limits.MAX_BATCH_BYTES
AT_A_TIME: Final = 50  # jobs that are read before others have their turn


class BatchForm(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/v1/jobs/batch."""

    jobs: Annotated[list[JobForm], msgspec.Meta(min_length=1, max_length=limits.MAX_BATCH)]


class BatchItem(msgspec.Struct, kw_only=True):
    """What became of one job of a batch: `id`, `state` and `created`; or `code` and `errors`."""

    index: int
    id: str | UnsetType = UNSET
    state: Annotated[
        JobState | UnsetType | None, msgspec.Meta(description="null: it was there already, and is no longer kept")
    ] = UNSET
    created: Annotated[bool, msgspec.Meta(description="false: the job was there already")] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    code: Annotated[str, msgspec.Meta(description="the kind of problem")] | UnsetType = UNSET
    errors: list[MistakeView] | UnsetType = UNSET


class BatchView(msgspec.Struct):
    """What became of a batch, job by job in the order in which they came."""

    accepted: int
    rejected: int
    items: list[BatchItem]


class BatchCalls:
    """The call that submits many jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reader = FormReader()

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "POST", "/api/v1/jobs/batch", "submitJobs", "submit many jobs, each with its own verdict", self.submit,
                scope=Scope.SUBMIT, body=BatchForm, answers={200: BatchView}, problems=("store-full",),
            ),
        ]  # fmt: skip

    async def submit(self, request: Request) -> Response:
        """Submit up to 1,000 jobs in up to 8 MiB.

        Each item says what became of its job; a bad one never fails its neighbours. With the header Idempotency-Key,
        each job without a key of its own has that and its index: a repeated batch is done once.
        """
        headers: Headers = dict(request.scope["headers"])
        pieces = _pieces(await read_body(headers, request.receive, MAX_BATCH_BYTES))
        caller, key, own = caller_of(request), _batch_key(headers), _own_headers(headers)
        asked: list[tuple[NewJob, list[str]] | Exception] = []
        began = self._backend.types.now()
        for index, piece in enumerate(pieces):
            asked.append(await self._read(caller, bytes(piece), own, key and f"{key}:{index}", began))
            if not index % AT_A_TIME:
                await asyncio.sleep(0)
        items = await self._submit(asked)
        accepted = sum(item.id is not UNSET for item in items)
        return json_response(BatchView(accepted, len(items) - accepted, items))

    async def _read(
        self, caller: Caller, piece: bytes, headers: Headers, key: str, began: float
    ) -> tuple[NewJob, list[str]] | Exception:
        """The job that an item asks for, and warnings; or why it is refused."""
        try:
            _check_size(piece)
            job, values = self._reader.read(piece, headers)
            caller.check(Scope.SUBMIT, job.queue)
            strict = self._backend.settings.strict_types
            warnings = await self._backend.types.check(job.type, values, strict=strict, asked=began)
        except (InvalidJob, Problem) as error:
            return error
        job.created_by = caller.author
        job.idempotency_key = job.idempotency_key or key
        return job, warnings

    async def _submit(self, asked: list[tuple[NewJob, list[str]] | Exception]) -> list[BatchItem]:
        good = {index: one for index, one in enumerate(asked) if isinstance(one, tuple)}
        try:
            answers = await self._backend.submit_all([job for job, _ in good.values()])
        except StoreUnavailable:
            raise Problem("store-unavailable", UNKNOWN_OUTCOME) from None
        verdicts = dict(zip(good, answers, strict=True))
        there = await self._states([v.id for v in answers if isinstance(v, Submitted) and not v.created])
        return [await self._item(index, one, verdicts.get(index), there) for index, one in enumerate(asked)]

    async def _item(
        self,
        index: int,
        asked: tuple[NewJob, list[str]] | Exception,
        verdict: SubmitResult | None,
        there: dict[str, JobState | None],
    ) -> BatchItem:
        if isinstance(asked, Exception):
            return _refusal(index, asked)
        if not isinstance(verdict, Submitted):
            return _refusal(index, verdict or Refused("not submitted"))
        job, warnings = asked
        state = first_state(job) if verdict.created else there[verdict.id]
        warnings = await warnings_of(self._backend, job, state, warnings)
        return BatchItem(index=index, id=verdict.id, state=state, created=verdict.created, warnings=warnings)

    async def _states(self, ids: list[str]) -> dict[str, JobState | None]:
        """Where jobs stand that were there already; None: gone again, and nobody knows how it ended."""
        found = await self._backend.read(lambda inspector: inspector.jobs(ids)) if ids else []
        return {job_id: job.state if job else None for job_id, job in zip(ids, found, strict=True)}


class _Pieces(msgspec.Struct, forbid_unknown_fields=True):
    jobs: list[msgspec.Raw]


_DECODER: Final = msgspec.json.Decoder(_Pieces)
_LOW: Final = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}" + _LOW + rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
"""A whole character of two escapes, half of one, or any other escape."""


def _pieces(body: bytes) -> Sequence[JobText]:
    """The jobs of a batch, unread. Raises Problem and InvalidJob when it is none."""
    body = body.removeprefix(BOM)
    try:
        pieces = _taken_apart(body)  # as they are: what of them is no text is the matter of each
    except msgspec.ValidationError as error:
        raise InvalidJob([pointed(error)]) from None
    except RecursionError:
        raise InvalidJob([("", "nested too deeply")]) from None
    except ValueError as error:
        raise malformed(error, body) from None
    if not 1 <= len(pieces) <= limits.MAX_BATCH:
        raise InvalidJob([("/jobs", f"from 1 to {limits.MAX_BATCH} jobs, not {len(pieces)}")])
    if (at := repeated_key(_around(body, pieces))) is not None:
        raise InvalidJob([(at, "given more than once")])
    return pieces


def _taken_apart(body: bytes) -> Sequence[JobText]:
    """The jobs. One whose escapes are half of a character keeps the decoder from all: it sees whole ones instead."""
    try:
        return _DECODER.decode(body).jobs
    except msgspec.ValidationError:
        raise
    except ValueError:
        whole = _ESCAPE.sub(lambda found: b"\\ufffd" if found["half"] else found[0], body)
        if whole == body:
            raise
        return [body[begin:end] for begin, end in _places(whole, _DECODER.decode(whole).jobs)]


def _around(body: bytes, pieces: Sequence[JobText]) -> bytes:
    """The body with a number for each job."""
    gaps, at = [], 0
    for begin, end in _places(body, pieces):
        gaps.append(body[at:begin])
        at = end
    return b"0".join([*gaps, body[at:]])


def _places(body: bytes, pieces: Sequence[JobText]) -> Iterator[tuple[int, int]]:
    """Where the jobs stand."""
    at = body.index(b"[") + 1 if pieces else 0
    for piece in map(bytes, pieces):
        begin = body.index(piece, at)
        at = begin + len(piece)
        yield begin, at


def _check_size(piece: bytes) -> None:
    """Check a batch's text before anything reads it, as a lone job's is."""
    if len(piece) > MAX_BYTES:
        raise Problem("too-large", f"a job may have {MAX_BYTES} bytes at most")


def _batch_key(headers: Headers) -> str:
    """The idempotency key of the whole batch; "" for none. Raises InvalidJob."""
    key = stated_key(headers)
    longest = limits.MAX_KEY_CHARS - len(f":{limits.MAX_BATCH}")
    if key is not None and not (1 <= len(key) <= longest and key.isascii() and key.isprintable()):
        raise InvalidJob([("/idempotency_key", f"the header of a batch: 1 to {longest} printable ASCII characters")])
    return key or ""


def _own_headers(headers: Headers) -> Headers:
    """The headers of the request that count for each job."""
    return {name: value for name, value in headers.items() if name == b"traceparent"}


def _refusal(index: int, error: Exception) -> BatchItem:
    problem = problem_of(error) or Problem("internal", "")
    errors = [MistakeView(f"/jobs/{index}{at}", why) for at, why in problem.errors]
    return BatchItem(index=index, code=problem.kind, errors=errors or [MistakeView(f"/jobs/{index}", str(problem))])
