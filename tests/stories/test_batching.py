"""Submissions that are made together travel together."""

import asyncio


async def calls_of_scripts(app) -> int:
    line = await app.connections()
    stats = await line.broker.redis.info("commandstats")
    return stats.get("cmdstat_fcall", {"calls": 0})["calls"]


async def test_submissions_of_one_moment_share_a_call(boltq_app):
    """A thousand callers that submit one job each cost the store a few calls, not a thousand."""
    await boltq_app.submit("warm-up")
    before = await calls_of_scripts(boltq_app)
    jobs = await asyncio.gather(*(boltq_app.submit("count", {"n": n}) for n in range(1_000)))
    assert len({job.id for job in jobs}) == 1_000
    assert await calls_of_scripts(boltq_app) - before <= 5


async def test_a_refusal_in_a_batch_is_its_own_callers(boltq_app):
    """The neighbours of a submission that is refused are submitted all the same."""
    await boltq_app.submit("pay", {"n": 0}, idempotency_key="k")
    answers = await asyncio.gather(
        *(boltq_app.submit("pay", {"n": n}, idempotency_key="k" if n == 2 else f"k{n}") for n in range(4)),
        return_exceptions=True,
    )
    assert [isinstance(answer, Exception) for answer in answers] == [False, False, True, False]
