"""Context variables: each run begins with those of the worker, and none that another run has set."""

import asyncio
from contextvars import ContextVar

import process_tasks
import pytest

from boltq import JobContext, current_job

TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")
OF_THE_PROGRAM: ContextVar[str] = ContextVar("of_the_program", default="unset")


async def test_coroutines_do_not_see_what_an_earlier_one_set(boltq_app, worker):
    """Neither before nor after they have waited, nor in tasks and callbacks that they start."""
    later: list[str] = []

    @boltq_app.task
    async def serve(tenant: str) -> list[str]:
        before = TENANT.get()
        token = TENANT.set(tenant)
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(lambda: later.append(TENANT.get()))
        inside = await asyncio.create_task(of_a_task())
        await asyncio.sleep(0.001)
        if tenant.startswith("x"):
            TENANT.reset(token)  # in the context in which it was set: it would raise in another
        return [before, inside, TENANT.get()]

    async def of_a_task() -> str:
        return TENANT.get()

    async with worker(slots=2):
        names = [f"{'x' if n % 2 else 'y'}{n}" for n in range(40)]
        jobs = await boltq_app.submit_many([serve.job(name) for name in names])
        for name, job in zip(names, jobs, strict=True):
            assert await job.result() == ["nobody", name, "nobody" if name.startswith("x") else name]
    assert sorted(later) == sorted(names)


async def test_neither_do_threads(boltq_app, worker):
    """Nor a thread of a coroutine's."""

    @boltq_app.task
    async def sets(tenant: str) -> None:
        TENANT.set(tenant)

    @boltq_app.task
    def plain(tenant: str) -> str:
        before = TENANT.get()
        TENANT.set(tenant)
        return before

    async with worker(slots=1):
        seen = []
        for n in range(5):
            await (await sets.submit(f"loop {n}")).result()
            seen.append(await (await plain.submit(f"thread {n}")).result())
    assert seen == ["nobody"] * 5


async def test_neither_do_steps_of_a_workflow(boltq_app, worker):
    @boltq_app.task
    async def step(tenant: str) -> str:
        before = TENANT.get()
        TENANT.set(tenant)
        return before

    form = {
        "name": "three",
        "steps": [
            {"id": "a", "job_type": "step", "params": {"tenant": "a"}},
            {"id": "b", "job_type": "step", "params": {"tenant": "b"}, "depends_on": ["a"]},
            {"id": "c", "job_type": "step", "params": {"tenant": "c"}, "depends_on": ["b"]},
        ],
    }
    async with worker(slots=1):
        run = await boltq_app.submit_workflow(form)
        await run.result(20)
        record = await run.record()
        jobs = [boltq_app.job(record.step(name).job_id) for name in "abc"]
        assert [await job.result() for job in jobs] == ["nobody"] * 3


@pytest.mark.parametrize("name", ["set_tenant", "set_tenant_awaited"])
async def test_neither_do_processes(boltq_app, worker, name):
    """A child runs one job after the other."""
    process_tasks.listed(boltq_app, name)
    async with worker(slots=1):
        seen = [await (await boltq_app.submit(name, {"tenant": f"t{n}"})).result() for n in range(3)]
    assert [before for before, _ in seen] == ["nobody"] * 3
    assert len({pid for _, pid in seen}) == 1


async def test_what_the_program_set_before_it_started_its_worker_is_seen(boltq_app, worker):
    """By all of them: it is the program's own."""
    OF_THE_PROGRAM.set("version 7")

    @boltq_app.task
    async def awaited() -> str:
        return OF_THE_PROGRAM.get()

    @boltq_app.task
    def plain() -> str:
        return OF_THE_PROGRAM.get()

    async with worker():
        assert await (await awaited.submit()).result() == "version 7"
        assert await (await plain.submit()).result() == "version 7"


async def test_the_current_job_is_that_of_each_run(boltq_app, worker):
    """In what a job has started, too, when it is over and another one runs in its slot."""
    told: dict[str, str] = {}

    @boltq_app.task
    async def starts(job: JobContext) -> str:
        async def later() -> None:
            await asyncio.sleep(0.1)
            told[job.job_id] = current_job().job_id

        asyncio.get_running_loop().call_soon(lambda: keep.append(asyncio.create_task(later())))
        await asyncio.sleep(0)
        return current_job().job_id

    keep: list[asyncio.Task] = []
    async with worker(slots=1):
        jobs = await boltq_app.submit_many([starts.job() for _ in range(5)])
        assert [await job.result() for job in jobs] == [job.id for job in jobs]
        await asyncio.sleep(0.2)
    assert told == {job.id: job.id for job in jobs}
    assert current_job() is None
