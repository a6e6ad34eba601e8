"""Errors by their kind: what is tried again, what waits for a person, and what is only put off.

In one terminal:  boltq dev retries:app
In another:       python retries.py
"""

import asyncio

from boltq import Backoff, BoltQ, DataError, JobContext, JobFailed, RateLimited, Snooze

app = BoltQ()


@app.task(max_attempts=5, backoff=Backoff(base=0.1, cap=1.0))
async def flaky(ctx: JobContext, fails: int) -> str:
    """Fails so often, then works. A ConnectionError counts as transient."""
    if ctx.attempt <= fails:
        raise ConnectionError("the other side hung up")
    return f"worked at attempt {ctx.attempt} of {ctx.max_attempts}"


@app.task
async def polite(ctx: JobContext) -> str:
    """Was told when to come again: that overrules the backoff."""
    if ctx.attempt == 1:
        raise RateLimited("slow down", retry_after=0.2)
    return "served"


@app.task
async def charge(cents: int) -> str:
    """No retry can make a wrong amount right: such a job is dead at once."""
    if cents <= 0:
        raise DataError(f"{cents} is no amount")
    return f"charged {cents}"


_asked = 0


@app.task
async def when_ready() -> str:
    """Not now: a snooze is no failure, and counts as no attempt."""
    global _asked  # noqa: PLW0603 - stands for something outside that is not ready yet
    _asked += 1
    if _asked < 3:
        raise Snooze(0.2)
    return "ready now"


async def main():
    async with app:
        print("flaky:", await (await flaky.submit(fails=2)).result(timeout=30))
        print("polite:", await (await polite.submit()).result(timeout=30))

        job = await when_ready.submit()
        print("when_ready:", await job.result(timeout=30), "- attempts:", (await job.record()).attempts)

        bad = await charge.submit(cents=-5)
        try:
            await bad.result(timeout=30)
        except JobFailed as failed:
            if failed.error:
                print("charge:", failed.error.category.value, "-", failed.error.message)
        print("charge is", (await bad.record()).state.value)


if __name__ == "__main__":
    asyncio.run(main())
