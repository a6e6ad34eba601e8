from model.world import World

from boltq.domain import limits


def test_only_of_the_run_that_is_on_its_way(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs.values()
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    world.progress(job)
    world.settle(0, worker, [world.outcome(job, "completed")])
    world.progress(job)  # refused


async def test_it_is_shown_with_the_log(desk) -> None:
    (job_id,) = await desk.submit()
    await desk.worker()
    await desk.claim()
    assert await desk.broker.progress(0, "w", [(job_id, 1, 0.25, "a quarter", ["one", "two"])]) == []
    assert await desk.broker.progress(0, "w", [(job_id, 2, 0.5, "", [])]) == [[0, "LEASE_LOST"]]
    assert await desk.broker.progress(0, "w", [(job_id, 1, "", "", ["three"])]) == []
    job = await desk.inspector.job(job_id)
    assert (job.progress, job.progress_text, job.log) == (0.25, "a quarter", ["one", "two", "three"])


async def test_the_log_has_an_end(desk) -> None:
    (job_id,) = await desk.submit()
    await desk.worker()
    await desk.claim()
    for start in range(0, 1_500, 500):
        await desk.broker.progress(0, "w", [(job_id, 1, "", "", [str(n) for n in range(start, start + 500)])])
    job = await desk.inspector.job(job_id)
    assert job.log == [str(n) for n in range(1_500 - limits.MAX_LOG_LINES, 1_500)]
    assert job.unlogged == 500
