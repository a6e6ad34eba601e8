"""What a job says while it runs."""

import asyncio

from waiting import eventually

from boltq import Job, JobContext, current_job


async def said(job: Job) -> bool:
    return (await job.record()).progress is not None


async def test_a_job_tells_how_far_it_is(boltq_app, worker):
    """A first parameter annotated JobContext is given by the worker; callers do not pass it."""
    go_on = asyncio.Event()

    @boltq_app.task
    async def convert(job: JobContext, file: str) -> str:
        job.progress(0.5, "second page")
        job.log(f"converting {file}")
        await go_on.wait()
        job.log("converted")
        return file.replace(".md", ".pdf")

    async with worker():
        job = await convert.submit("report.md")
        await eventually(lambda: said(job))
        record = await job.record()
        assert (record.progress, record.progress_text) == (0.5, "second page")
        assert record.log[0].endswith("converting report.md")
        go_on.set()
        assert await job.result() == "report.pdf"

    assert [line.split(" ", 1)[1] for line in (await job.record()).log] == ["converting report.md", "converted"]


async def test_code_deep_inside_finds_its_job(boltq_app, worker):
    """`current_job` needs no parameter handed down; outside of a job it is None."""

    def deep_inside() -> list:
        job = current_job()
        return [job.job_type, job.queue, job.attempt, job.max_attempts]

    @boltq_app.task(queue="mail", max_attempts=7)
    def plain() -> list:
        return deep_inside()

    @boltq_app.task
    async def waiting() -> list:
        await asyncio.sleep(0)
        return deep_inside()

    async with worker(queues=["default", "mail"]):
        assert await (await plain.submit()).result() == ["plain", "mail", 1, 7]
        assert await (await waiting.submit()).result() == ["waiting", "default", 1, 3]
    assert current_job() is None
