"""A web site of a test's own, and the context of a job."""

from collections.abc import AsyncIterator, Callable

import pytest
from sites import Site, answer, running_site

from boltq.domain.context import JobContext


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A web server of this test's own."""
    async with running_site() as running:
        yield running


@pytest.fixture
def say() -> Callable[..., bytes]:
    """Makes an answer."""
    return answer


@pytest.fixture
def ctx() -> JobContext:
    """The context of a job; `ctx.lines` has what it logged."""
    lines: list[str] = []
    context = JobContext(
        "01JDABC7K2M3N4P5Q6R7S8T900", "email", "default", 1, 3, lambda _f, _t, line: lines.append(line)
    )
    context.lines = lines
    return context
