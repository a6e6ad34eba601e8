from model.world import World


def test_what_a_lost_answer_brought_is_found_and_given_back(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    worker = world.register(0, ["q", "r"], None)
    world.claim(0, worker, 2, lose_reply=True)
    world.claim(0, worker, 1)
    world.recover(0, worker)
    assert len(world.held_by(0, worker)) == 1
    assert len(world.claim(0, worker, 5)) == 3


def test_a_stranger_holds_nothing(world: World) -> None:
    world.recover(0, "w0")


async def test_letters_that_nobody_read_are_taken_out(desk) -> None:
    await desk.worker()
    assert await desk.claim() == []
    (job,) = await desk.submit()
    held = await desk.broker.held(0, "w")
    assert len(held.letters) == 1
    assert held.runs == [(job, 1)]
    assert await desk.letters() == []
