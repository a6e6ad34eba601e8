"""See how far a job is, read what it logs, and cancel it.

In one terminal:  boltq dev progress_and_cancel:app
In another:       python progress_and_cancel.py
"""

import asyncio
import time

from boltq import BoltQ, JobCancelled, JobContext

app = BoltQ()


@app.task
async def import_rows(ctx: JobContext, rows: int) -> int:
    """An async function is interrupted when it is cancelled, at its next `await`."""
    for row in range(rows):
        await asyncio.sleep(0.05)
        ctx.progress((row + 1) / rows, f"row {row + 1}")
        if row == 0:
            ctx.log(f"importing {rows} rows")
    return rows


@app.task
def crunch(ctx: JobContext, seconds: float) -> None:
    """A plain function runs in a thread, which nobody can interrupt: it looks by itself whether it shall stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
        ctx.check_cancelled()


async def until_it_runs(job):
    async with asyncio.timeout(30):
        while (await job.record()).state != "running":  # noqa: ASYNC110 - only ends can be waited for
            await asyncio.sleep(0.05)


async def main():
    async with app:
        short = await import_rows.submit(rows=4)
        print("imported", await short.result(timeout=30), "rows")
        record = await short.record()
        print(f"progress {record.progress:.0%}; {record.progress_text}; logged: {record.log[0].split(' ', 1)[1]}")

        for job in [await import_rows.submit(rows=10_000), await crunch.submit(seconds=600)]:
            await until_it_runs(job)
            await job.cancel("changed my mind")
            try:
                await job.result(timeout=30)
            except JobCancelled:
                print((await job.record()).type, "was stopped")


if __name__ == "__main__":
    asyncio.run(main())
