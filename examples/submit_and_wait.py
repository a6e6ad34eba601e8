"""Submit jobs, wait for their results, and look at one.

In one terminal:  boltq dev submit_and_wait:app
In another:       python submit_and_wait.py
"""

import asyncio

from boltq import BoltQ

app = BoltQ()


@app.task
async def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


async def main():
    async with app:
        job = await add.submit(2, b=3)
        print("2 + 3 =", await job.result(timeout=30))

        jobs = await app.submit_many([add.job(n, n) for n in range(100)])
        results = [await job.result(timeout=30) for job in jobs]
        print("the sum of 100 results:", sum(results))

        record = await job.record()
        print(record.type, "is", record.state.value, "after", record.attempts, "attempt")


if __name__ == "__main__":
    asyncio.run(main())
