"""POST /bulk: one action on many jobs; what it would do, or a bulk operation that does it in the background."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector
from boltq.broker.operations import MAX_ITEMS, BulkAction
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.filters import JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.merge import merge_patch
from boltq.domain.scopes import Scope
from boltq.domain.states import ACTIONS, JobState
from boltq.server.audit_log import Reason, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import MAX_BYTES, read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.mistakes import Mistakes, MistakeView
from boltq.server.http.problems import Problem
from boltq.server.jobs.reading import CountsQuery, filter_of
from boltq.server.operations import begin
from boltq.server.views.operations import OperationView

SAMPLE: Final = 5
TYPED: Final = 2_000  # jobs whose types are counted for a preview
READ_AT_A_TIME: Final = 25  # jobs with their data

Patch = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="of a replay: a JSON merge patch (RFC 7396) on each job's data; new jobs are made from the old",
        extra_json_schema={"type": "object"},
    ),
]
JobId = Annotated[str, msgspec.Meta(pattern=f"^{limits.ID.pattern}$")]
Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]


class FilterForm(CountsQuery, kw_only=True, forbid_unknown_fields=True):
    """Which jobs, as in GET /jobs. Without a state: those in which the action is allowed."""

    state: Annotated[list[JobState], msgspec.Meta(max_length=len(JobState), description="any of these")] = (
        msgspec.field(default_factory=list)
    )


class TargetForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The jobs: by their ids, or by a filter."""

    ids: Annotated[list[JobId], msgspec.Meta(min_length=1, max_length=limits.MAX_BATCH)] | None = None
    filter: FilterForm | None = None


class OptionsForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to do it."""

    patch: Patch | UnsetType = UNSET
    rate_per_s: Annotated[float, msgspec.Meta(ge=0.01, le=100_000, description="jobs a second at most")] | None = None
    canary: Annotated[Count, msgspec.Meta(description="do so many, then wait for `continue`")] | None = None
    stop_on_failures: Annotated[Count, msgspec.Meta(description="stop when so many have failed")] | None = None


class BulkForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /bulk."""

    APART: ClassVar = ("dry_run",)  # the description has a call of its own for that, since it answers something else

    action: Literal["cancel", "replay", "run_now", "delete"]
    target: TargetForm
    options: OptionsForm = OptionsForm()
    reason: Reason | None = None
    dry_run: Annotated[bool, msgspec.Meta(description="only say what would be done")] = False
    expect_count: (
        Annotated[int, msgspec.Meta(ge=0, description="refuse (409) when it is not exactly so many jobs")] | None
    ) = None

    @property
    def verb(self) -> BulkAction:
        """The action, as an operation knows it: a replay with a patch makes new jobs."""
        return (
            BulkAction.REPLAY_AS
            if self.action == "replay" and self.options.patch is not UNSET
            else BulkAction(self.action)
        )


class SampleView(msgspec.Struct, kw_only=True):
    """One of the jobs; `before` and `after` are its data where a patch would change them, and one may see them."""

    id: str
    type: str
    queue: str
    state: JobState
    before: msgspec.Raw | None
    after: msgspec.Raw | None
    errors: Annotated[list[MistakeView], msgspec.Meta(description="why the changed data would not do")]


class BulkPreview(msgspec.Struct, kw_only=True):
    """What a bulk operation would do."""

    count: int
    by_state: dict[JobState, int]
    by_type: dict[str, int]
    by_type_complete: Annotated[bool, msgspec.Meta(description=f"false: of the first {TYPED} jobs only")]
    sample: list[SampleView]
    warnings: list[str]


class Chosen(msgspec.Struct):
    """The jobs that somebody means, at one moment: (id, since) of each."""

    items: list[tuple[str, int]]
    by_state: Counter[JobState]
    missing: int = 0  # ids that are not there
    filter: JobFilter | None = None
    records: list[JobRecord] = []  # without data; of ids only


class BulkCalls:
    """The call that acts on many jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "POST", "/api/v1/bulk", "bulk", "cancel, replay, run or delete many jobs",
                self.bulk, scope=Scope.OPERATE, body=BulkForm, answers={202: OperationView},
                problems=("conflict", "count-changed", "store-full"), tag="bulk",
            ),
            ApiCall(
                "POST", "/api/v1/bulk/preview", "previewBulk", "what a bulk operation would do; nothing is done",
                self.preview, scope=Scope.OPERATE, body=BulkForm, answers={200: BulkPreview}, tag="bulk",
            ),
        ]  # fmt: skip

    async def bulk(self, request: Request) -> Response:
        """Act on the jobs that fit now; what comes to fit later is left alone, and so is what moves meanwhile.

        A bulk operation does it in the background: it goes on when this server dies, on another one. `expect_count` is
        the count of a preview: when the number is another one now, nothing is done (409).
        """
        form = await read_form(request, BulkForm, MAX_BYTES)
        reason = reason_of(request, form.reason)
        _check(form)
        chosen = await self._choose(form)
        if form.dry_run:
            return json_response(await self._preview(request, form, chosen))
        if form.expect_count not in {None, len(chosen.items)}:
            raise _changed(len(chosen.items), form.expect_count)
        if form.verb is BulkAction.REPLAY_AS:
            await self._check_making(request, chosen)
        options = form.options
        return await begin(
            self._backend, request, form.verb, chosen.items, reason,
            chosen_by=chosen.filter, patch=_patch(form), rate_per_s=options.rate_per_s or 0.0,
            canary=options.canary or 0, stop_on_failures=options.stop_on_failures or 0,
        )  # fmt: skip

    async def preview(self, request: Request) -> Response:
        """Say what a bulk operation would do: to how many jobs, of which kinds, and to some of them as a sample."""
        form = await read_form(request, BulkForm, MAX_BYTES)
        reason_of(request, form.reason)
        _check(form)
        return json_response(await self._preview(request, form, await self._choose(form)))

    async def _choose(self, form: BulkForm) -> Chosen:
        target = form.target
        return await (self._by_filter(form, target.filter) if target.filter else self._by_ids(target.ids or []))

    async def _by_ids(self, ids: Sequence[str]) -> Chosen:
        """Ids that are not there are among the items, and will fail."""
        wanted = list(dict.fromkeys(ids))
        records: dict[str, JobRecord] = {}
        for start in range(0, len(wanted), READ_AT_A_TIME):
            chunk = wanted[start : start + READ_AT_A_TIME]
            for job in await self._jobs(chunk):
                records[job.id] = msgspec.structs.replace(job, data="", result=None, log=[])
        items = [(job_id, records[job_id].since if job_id in records else 0) for job_id in wanted]
        states = Counter(job.state for job in records.values())
        return Chosen(items, states, len(wanted) - len(records), None, list(records.values()))

    async def _by_filter(self, form: BulkForm, stated: FilterForm) -> Chosen:
        """State by state, so that each is counted."""
        states = list(dict.fromkeys(stated.state)) or sorted(ACTIONS[form.action])
        what = _filter(stated, states)
        items: dict[str, int] = {}
        counts: Counter[JobState] = Counter()
        for state in states:
            one, left = msgspec.structs.replace(what, states=(state,)), MAX_ITEMS - len(items)
            found = await self._snapshot(one, left)
            counts[state] = len(found)
            items.update(found)
        return Chosen(list(items.items()), +counts, filter=what)

    async def _snapshot(self, what: JobFilter, most: int) -> list[tuple[str, int]]:
        try:
            return await self._backend.read(lambda inspector: inspector.snapshot(what, most))
        except InvalidJob:
            reason = f"more than {MAX_ITEMS} jobs: narrow the filter"
            raise InvalidJob([("/target/filter", reason)]) from None

    async def _check_making(self, request: Request, chosen: Chosen) -> None:
        """Raise the Problem of who may not submit to these queues, or of a store that is nearly full."""
        self._backend.check_room()
        queues = {job.queue for job in chosen.records} or (chosen.filter.queues if chosen.filter else ())
        for queue in queues or [stats.name for stats in await self._backend.read(Inspector.queues)]:
            caller_of(request).check(Scope.SUBMIT, queue)

    # What would be done

    async def _preview(self, request: Request, form: BulkForm, chosen: Chosen) -> BulkPreview:
        types, complete = await self._types(chosen)
        may_see = caller_of(request).grants.allow(Scope.PAYLOAD)
        sample = await self._jobs([job_id for job_id, _ in chosen.items[:SAMPLE]])
        return BulkPreview(
            count=len(chosen.items),
            by_state=dict(chosen.by_state),
            by_type=dict(types.most_common()),
            by_type_complete=complete,
            sample=[await self._sample(job, _patch(form), may_see=may_see) for job in sample],
            warnings=_warnings(form, chosen),
        )

    async def _types(self, chosen: Chosen) -> tuple[Counter[str], bool]:
        if chosen.filter is None:
            return Counter(job.type for job in chosen.records), True
        what, types, cursor = chosen.filter, Counter[str](), None
        for _ in range(TYPED // limits.MAX_PAGE):
            at: str | None = cursor
            page = await self._backend.read(lambda inspector: inspector.page(what, cursor=at, limit=limits.MAX_PAGE))  # noqa: B023
            types.update(job.type for job in page.jobs)
            cursor = page.cursor
            if cursor is None:
                return types, True
        return types, False

    async def _sample(self, job: JobRecord, patch: str, *, may_see: bool) -> SampleView:
        after, errors = None, list[tuple[str, str]]()
        if patch:
            after, errors = await self._patched(job, patch)
        shown = may_see and after is not None
        return SampleView(
            id=job.id,
            type=job.type,
            queue=job.queue,
            state=job.state,
            before=msgspec.Raw(job.data) if shown else None,
            after=msgspec.Raw(after) if shown and after else None,
            errors=[MistakeView(pointer=pointer, detail=reason) for pointer, reason in errors],
        )

    async def _patched(self, job: JobRecord, patch: str) -> tuple[str, Mistakes]:
        """The data after the patch, and why they would not do."""
        after = merge_patch(job.data, patch)
        values: dict[str, Any] = msgspec.json.decode(after)
        try:
            await self._backend.types.check(job.type, values, strict=False)
        except InvalidJob as error:
            return after, error.errors
        return after, []

    async def _jobs(self, ids: Sequence[str]) -> list[JobRecord]:
        return [job for job in await self._backend.read(lambda inspector: inspector.jobs(ids)) if job]


def _check(form: BulkForm) -> None:
    """Raise InvalidJob for what a struct cannot say."""
    mistakes: Mistakes = []
    if (form.target.ids is None) == (form.target.filter is None):
        mistakes.append(("/target", "give ids or filter, and not both"))
    if form.options.patch is not UNSET:
        if form.action != "replay":
            mistakes.append(("/options/patch", "only a replay takes one"))
        try:
            merge_patch("{}", _patch(form))
        except ValueError as error:
            mistakes.append(("/options/patch", str(error)))
    if mistakes:
        raise InvalidJob(mistakes)


def _filter(stated: FilterForm, states: Sequence[JobState]) -> JobFilter:
    try:
        return filter_of(stated, list(states))
    except InvalidJob as error:
        raise InvalidJob([(f"/target/filter{pointer}", reason) for pointer, reason in error.errors]) from None


def _patch(form: BulkForm) -> str:
    return "" if form.options.patch is UNSET else str(form.options.patch, "utf-8")


def _warnings(form: BulkForm, chosen: Chosen) -> list[str]:
    allowed = ACTIONS[form.verb]
    warnings = [
        f"{number} {state} jobs do not allow it, and will fail"
        for state, number in sorted(chosen.by_state.items())
        if state not in allowed
    ]
    if chosen.missing:
        warnings.append(f"{chosen.missing} of the ids are not there, and will fail")
    if form.action == "cancel" and chosen.by_state[JobState.RUNNING]:
        warnings.append(f"{chosen.by_state[JobState.RUNNING]} jobs run: their workers are asked to stop them")
    if form.action == "delete" and chosen.items:
        warnings.append("what is deleted cannot be brought back")
    return warnings


def _changed(count: int, expected: int | None) -> Problem:
    detail = f"there are {count} such jobs now, not {expected}; nothing was done"
    return Problem("count-changed", detail, count=count, expect_count=expected)
