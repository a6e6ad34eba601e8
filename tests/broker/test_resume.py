from model.world import World


def test_sleepers_get_what_has_come_meanwhile(world: World) -> None:
    world.pause("q")
    world.submit(world.make(0), world.make(0, delay=1_000))
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 4) == []
    world.advance(1_000)
    world.resume("q")
    assert len(world.held_by(0, worker)) == 2


def test_again_is_harmless(world: World) -> None:
    world.resume("q")
    world.resume("q")


async def test_a_sleeper_sets_its_alarm_anew(desk) -> None:
    await desk.broker.pause("default")
    await desk.submit(delay=1_000)
    await desk.worker()
    assert (await desk.broker.claim(0, "w", 1)).next_due == 0
    await desk.broker.resume("default")
    assert await desk.letters() == [["look"]]
    assert (await desk.broker.claim(0, "w", 1)).next_due == desk.clock.now + 1_000


async def test_thousands_of_ghosts_do_not_keep_it_asleep(desk) -> None:
    await desk.broker.pause("default")
    ids = [job_id for _ in range(3) for job_id in await desk.submit(1_000)]
    await desk.broker.cancel(ids)
    (last,) = await desk.submit()
    await desk.worker()
    assert await desk.claim() == []
    await desk.broker.resume("default")
    assert await desk.letters() == [["look"]]
    for _ in range(5):
        if jobs := await desk.ids():
            break
    assert jobs == [last]
