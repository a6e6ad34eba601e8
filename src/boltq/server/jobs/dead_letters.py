"""Dead letters over HTTP: the jobs that are out of attempts, one by one, or by what went wrong with them."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.calls.search import GroupBy
from boltq.broker.search import MAX_GROUPED, MAX_GROUPS, DeadJobGroup
from boltq.domain.errors import InvalidJob
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.mistakes import Mistakes
from boltq.server.http.moments import Since, read_since, rfc3339
from boltq.server.http.query import Cursor, Limit, read_query
from boltq.server.jobs.reading import CountsQuery, filter_of
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights


class DeadLettersQuery(CountsQuery, kw_only=True):
    """Which dead jobs to list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class GroupsQuery(CountsQuery, kw_only=True):
    """Which dead jobs to group, and by what."""

    by: Annotated[GroupBy, msgspec.Meta(description="what the jobs of a group share")] = "fingerprint"
    cursor: Cursor | None = None
    since: Annotated[Since, msgspec.Meta(description="only groups in which a job has died since then")] | None = None


class GroupView(msgspec.Struct, kw_only=True):
    """Dead jobs with something in common; what is said of the error is the newest one's."""

    key: Annotated[str, msgspec.Meta(description="the fingerprint, type or queue that they share")]
    fingerprint: str
    class_name: str = msgspec.field(name="class")
    message: Annotated[str | None, msgspec.Meta(description="null without the scope payload")]
    category: str
    types: Annotated[dict[str, int], msgspec.Meta(description="how many of each type")]
    queues: Annotated[dict[str, int], msgspec.Meta(description="how many of each queue")]
    count: int
    count_1h: Annotated[int, msgspec.Meta(description="that died in the last hour")]
    first_at: str
    last_at: str
    sample_job_id: Annotated[str, msgspec.Meta(description="the newest one")]


class GroupsView(msgspec.Struct, kw_only=True):
    """The groups of some dead jobs, most first; those beyond the bound are one group "other", the last.

    Of very many jobs these are a portion: `next_cursor` goes on with the others, and groups with one key are one.
    """

    items: Annotated[list[GroupView], msgspec.Meta(description=f"at most {MAX_GROUPS + 1}")]
    next_cursor: Annotated[str | None, msgspec.Meta(description="null when these are of all jobs that fit")] = None
    complete: bool = True
    total_jobs: Annotated[int, msgspec.Meta(description="in these groups")]
    examined: Annotated[int, msgspec.Meta(description=f"dead jobs that were looked at, about {MAX_GROUPED:,} at most")]


class DeadLetterCalls:
    """The calls about dead letters."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/dead-letters", "listDeadLetters", "list dead jobs, without their data", self.page,
                scope=Scope.READ, query=DeadLettersQuery, answers={200: views.PageView}, tag="dead letters",
            ),
            ApiCall(
                "GET", "/api/v1/dead-letters/groups", "groupDeadLetters", "what went wrong, and how often", self.groups,
                scope=Scope.READ, query=GroupsQuery, answers={200: GroupsView}, tag="dead letters",
            ),
        ]  # fmt: skip

    async def page(self, request: Request) -> Response:
        """List dead jobs, the newest first: the same as GET /jobs with the state dead."""
        query = read_query(request, DeadLettersQuery)
        wanted, rights = filter_of(query, [JobState.DEAD]), Rights.of(caller_of(request))
        page = await self._backend.read(
            lambda inspector: inspector.page(wanted, cursor=query.cursor, limit=query.limit)
        )
        items = [views.summary(job, rights) for job in page.jobs]
        return json_response(views.PageView(items, page.cursor, views.ScanView(page.examined, page.complete)))

    async def groups(self, request: Request) -> Response:
        """Group the dead jobs that fit by fingerprint, type or queue.

        Of very many it says `complete: false`: ask again with `cursor` for the groups of the others.
        """
        query = read_query(request, GroupsQuery)
        wanted = filter_of(query)
        mistakes: Mistakes = []
        since = read_since(query.since, "/since", mistakes) or 0
        if mistakes:
            raise InvalidJob(mistakes)
        found = await self._backend.read(lambda it: it.failure_portion(wanted, query.by, cursor=query.cursor))
        chosen = [group for group in found.groups if group.last_at >= since]
        rights = Rights.of(caller_of(request))
        items = [_view(group, payload=rights.payload) for group in chosen]
        view = GroupsView(
            items=items,
            next_cursor=found.cursor,
            complete=found.cursor is None,
            total_jobs=sum(group.count for group in chosen),
            examined=found.examined,
        )
        return json_response(view)


def _view(group: DeadJobGroup, *, payload: bool) -> GroupView:
    fields = msgspec.structs.asdict(group)
    times = {name: rfc3339(fields[name]) for name in ("first_at", "last_at")}
    return GroupView(**fields | times | {"message": group.message if payload else None})
