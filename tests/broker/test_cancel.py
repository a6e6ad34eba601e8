from model.world import World


def test_every_state(world: World) -> None:
    jobs = [world.make(0) for _ in range(4)]
    world.submit(*jobs, world.make(0, delay=5_000))
    queued, running, retrying, dead, scheduled = world.jobs
    world.pause("q")
    world.resume("q")
    worker = world.register(0, ["q"], None)
    held = {job.id: job for job in world.claim(0, worker, 4)}
    world.settle(
        0,
        worker,
        [
            world.outcome(world.jobs[queued], "released"),
            world.outcome(world.jobs[retrying], "retrying", 5_000),
            world.outcome(world.jobs[dead], "dead"),
        ],
    )
    assert set(held) == {queued, running, retrying, dead}
    world.cancel(queued, running, retrying, dead, scheduled, f"{9:024d}00", "nonsense")
    states = [world.jobs[job].state for job in (queued, running, retrying, dead, scheduled)]
    assert states == ["cancelled", "running", "cancelled", "dead", "cancelled"]


def test_twice_is_as_good_as_once(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    world.cancel(job, job)
    world.cancel(job)
    assert world.jobs[job].state == "cancelled"


def test_the_worker_of_a_running_job_is_told_by_letter_and_at_its_next_beat(world: World) -> None:
    world.submit(world.make(0))
    worker = world.register(0, ["q"], None)
    (job,) = world.claim(0, worker, 1)
    world.cancel(job.id)  # the model opens the letter
    world.advance(1)
    world.extend(0, worker)  # the model checks that the answer names it


def test_a_later_run_of_the_job_is_not_stopped_for_an_earlier_one(world: World) -> None:
    world.submit(world.make(0))
    worker = world.register(0, ["q"], None)
    (job,) = world.claim(0, worker, 1)
    world.cancel(job.id)
    world.settle(0, worker, [world.outcome(world.jobs[job.id], "cancelled")])
    world.replay(job.id)
    assert len(world.claim(0, worker, 1)) == 1
    world.extend(0, worker)  # the model checks that the answer does not name it


def test_nothing_is_left_behind_for_a_worker_that_is_gone(world: World) -> None:
    world.submit(world.make(0))
    worker = world.register(0, ["q"], None)
    (job,) = world.claim(0, worker, 1)
    for key in ("worker", "cancels", "mail"):  # reaped, and the sweep has not come to its job yet
        world.raw.delete(world.key(0, f"{key}:{worker}"))
    world.raw.zrem(world.key(0, "workers"), worker)
    world.run(world.broker.cancel([job.id]))
    assert not world.raw.exists(world.key(0, f"cancels:{worker}"), world.key(0, f"mail:{worker}"))


async def test_the_answers_come_in_the_order_of_the_ids(desk) -> None:
    ids = await desk.submit(1_500)
    order = [*ids[::-1], ids[3]]
    verdicts = await desk.broker.cancel(order, "why not")
    assert [verdict.id for verdict in verdicts] == order
    job = await desk.inspector.job(ids[0])
    assert (job.reason, job.finished_at) == ("why not", desk.clock.now)
