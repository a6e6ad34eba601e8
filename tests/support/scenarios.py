"""Scripted lives: together they reach every move, every refusal and every way in which a queue is known to break."""

from collections.abc import Callable

from model.job import LEASE
from model.world import World

Scenario = Callable[[World], None]


def every_verb(world: World) -> None:
    verbs = ["completed", "retrying", "dead", "snoozed", "released", "cancelled"]
    world.submit(*(world.make(0, priority=n % 3) for n in range(len(verbs))), world.make(0, delay=500))
    worker = world.register(0, ["q"], None)
    jobs = world.claim(0, worker, 3) + world.claim(0, worker, 10)
    outcomes = [world.outcome(world.jobs[job.id], verb, 700) for job, verb in zip(jobs, verbs, strict=True)]
    world.settle(0, worker, outcomes)
    world.advance(700)
    for job in world.claim(0, worker, 10):
        world.settle(0, worker, [world.outcome(world.jobs[job.id], "completed")])
    world.quiesce()


def fences(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(3)))
    late, worker = world.register(0, ["q"], None), world.register(0, ["q"], None)
    old = [world.outcome(world.jobs[job.id], "completed") for job in world.claim(0, late, 3)]
    world.settle(0, late, [world.outcome(world.jobs[old[0].id], "released")])
    world.claim(0, worker, 1)
    world.settle_stale(old[0])
    world.retire(0, late, lost=True)
    world.settle_stale(old[1])
    for one in world.claim(0, worker, 1) + world.claim(0, worker, 1):
        world.settle_stale(
            world.outcome(world.jobs[one.id], "dead").__class__(one.id, one.delivery - 1, "dead", 1, 0, "{}")
        )
        other = world.register(0, ["r"], None)
        world.settle_stale(world.outcome(world.jobs[one.id], "completed"), other)
        world.settle(0, worker, [world.outcome(world.jobs[one.id], "completed")])
        world.settle_stale(old[1])
    world.quiesce()


def a_late_claim(world: World) -> None:
    worker = world.register(0, ["q"], None)
    world.number(0, worker, 5)
    world.submit(world.make(0))
    world.late_claim(0, worker, 5)
    world.late_claim(0, worker, 3)
    world.quiesce()


def lost_answers(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(3)))
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 2, lose_reply=True)
    world.recover(0, worker)
    world.submit(*(job.fresh for job in world.jobs.values() if job.fresh))
    world.quiesce()


def keys_and_refusals(world: World) -> None:
    first = world.make(0, idempotency_key="k", data='{"a":1}')
    world.submit(first)
    world.submit(world.make(0, idempotency_key="k", data='{"a":1}'))
    world.submit(world.make(0, idempotency_key="k", data='{"a":2}'))
    world.submit(first)
    worker = world.register(0, ["q"], None)
    world.register_again(0, worker)
    world.limit("q", world.partitions)
    world.submit(world.make(0), world.make(0), world.make(0))
    world.extend(0, "w0")
    world.claim(0, "w0", 1)
    nobody = f"{0:024d}00"
    for verb in (world.cancel, world.replay, world.run_now, world.delete):
        verb(nobody)
    for verb in (world.cancel, world.replay, world.run_now):
        verb(*world.jobs)
    world.edit(nobody, priority=2)
    world.replay_as(nobody, world.make(0))
    world.settle_stale(world.outcome(next(iter(world.jobs.values())), "dead").__class__(nobody, 1, "dead", 1))
    world.quiesce()


def every_person(world: World) -> None:
    """Cancel, replay and run_now in each state."""
    world.submit(*(world.make(0) for _ in range(6)))
    worker = world.register(0, ["q"], None)
    done, dead, retrying, stopped, running, queued = world.jobs
    world.claim(0, worker, 5)
    verbs = {done: "completed", dead: "dead", retrying: "retrying", stopped: "cancelled"}
    world.settle(0, worker, [world.outcome(world.jobs[job], verb, 90_000) for job, verb in verbs.items()])
    world.submit(world.make(0, delay=90_000), world.make(0, delay=90_000))
    scheduled, later = list(world.jobs)[6:]
    everyone = (done, dead, retrying, stopped, running, queued, scheduled, later)
    world.run_now(done, dead, stopped, running, queued, scheduled)
    world.replay(done, retrying, running, queued, scheduled, later)
    world.cancel(dead, done)
    world.replay(dead, stopped)
    world.cancel(*everyone)
    world.replay(*everyone)
    world.run_now(*everyone)
    world.cancel(*everyone)
    world.extend(0, worker)
    world.settle(0, worker, [world.outcome(world.jobs[running], "retrying", 1)])
    world.replay(queued)
    world.claim(0, worker, 1)
    world.cancel(queued)
    world.quiesce()


def every_edit(world: World) -> None:
    """Edit, replay_as and delete in each state."""
    world.submit(*(world.make(0) for _ in range(7)))
    worker = world.register(0, ["q"], None)
    done, dead, retrying, stopped, running, queued, idle = world.jobs
    world.claim(0, worker, 5)
    verbs = {done: "completed", dead: "dead", retrying: "retrying", stopped: "cancelled"}
    world.settle(0, worker, [world.outcome(world.jobs[job], verb, 90_000) for job, verb in verbs.items()])
    scheduled = world.make(0, delay=90_000)
    world.submit(scheduled)
    everyone = list(world.jobs)
    for job in everyone:
        world.edit(job, data='{"b":2}', tags=["t"], priority=2)
        world.replay_as(job, world.make(0, tags=["again"], priority=0))
    for job in (retrying, scheduled.id, queued, idle):
        world.edit(job, run_at=world.now + 500)
    world.edit(retrying, run_at=0, priority=1)
    world.edit(scheduled.id, tags=[])
    world.edit(idle, run_at=1)
    world.edit(queued)
    twice = world.make(0)
    world.replay_as(done, twice)
    world.replay_as(done, twice)
    world.replay_as(dead, twice)
    world.delete(*everyone, running)
    world.quiesce()


def moved_meanwhile(world: World) -> None:
    """What is told with `since` is done only to a job that stands as it was seen."""
    world.submit(*(world.make(0) for _ in range(4)))
    seen = [(job.id, job.since) for job in world.jobs.values()]
    world.advance(5)
    worker = world.register(0, ["q"], None)
    jobs = world.claim(0, worker, 3)
    outcomes = [
        world.outcome(world.jobs[job.id], verb)
        for job, verb in zip(jobs, ["dead", "completed", "retrying"], strict=True)
    ]
    world.settle(0, worker, outcomes)
    for verb in (world.cancel, world.replay, world.run_now, world.delete):
        verb(*seen)
        world.submit(world.make(0))
        seen.append((list(world.jobs)[-1], world.seen[0]))
    dead = jobs[0].id
    world.replay_as(dead, world.make(0), since=seen[0][1])
    world.replay_as(dead, world.make(0), since=world.jobs[dead].since)
    world.replay((dead, world.jobs[dead].since))
    world.delete(*((job.id, job.since) for job in world.standing("retrying")))
    world.limit("q", world.partitions)
    world.replay_as(jobs[1].id, world.make(0))
    world.quiesce()


def rearranged(world: World) -> None:
    """Priorities and times go to and fro, also of parked, cancelled and deleted jobs: see machine.long_lists."""
    world.submit(*(world.make(0, type=one) for one in "xxxyxx"))
    first, second, third, parked, fifth, _ = world.jobs
    for priority in (2, 1, 0, 1, 2, 1, 0):
        world.edit(first, priority=priority)
        world.edit(second, priority=2 - priority)
    novice = world.register(0, ["q"], {"x"})
    world.claim(0, novice, 1)
    world.claim(0, novice, 2)
    world.edit(parked, priority=2)
    world.cancel(parked)
    world.replay(parked)
    world.edit(parked, run_at=world.now + 900)
    world.edit(fifth, run_at=world.now + 100)
    world.edit(third, priority=0) if world.jobs[third].state == "queued" else None
    world.advance(100)
    world.claim(0, novice, 1)
    world.edit(fifth, run_at=world.now + 100)
    world.edit(fifth, run_at=0)
    world.edit(fifth, priority=2)
    world.cancel(fifth)
    world.replay(fifth)
    world.cancel(fifth)
    world.delete(fifth)
    world.settle(0, novice, [world.outcome(job, "retrying") for job in world.held_by(0, novice)])
    world.submit(*(world.make(0, type="y") for _ in range(2)))
    world.claim(0, novice, 5)
    *_, last = world.jobs
    world.delete(last)
    world.quiesce()


def ghosts(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    first, second, third, _ = world.jobs
    world.cancel(first, second, third)
    world.replay(second)
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    world.replay(first)
    world.cancel(first)
    world.replay(first, third)
    world.quiesce()


def unknown_types(world: World) -> None:
    world.submit(*(world.make(0, type=one) for one in "yxyz"))
    novice = world.register(0, ["q"], {"x"})
    world.claim(0, novice, 4)
    world.claim(0, novice, 4)
    world.cancel(next(iter(world.jobs)))
    expert = world.register(0, ["q"], {"y", "x"})
    world.claim(0, expert, 4)
    world.claim(0, expert, 4)
    world.submit(*(world.make(0, type=one) for one in "yz"))
    world.quiesce()


def live_on(world: World, *workers: str, home: int = 0) -> None:
    """A little more than a lease, in which these beat."""
    for _ in range(4):
        world.advance(LEASE // 3)
        for worker in workers:
            world.extend(home, worker)


def the_dead_and_the_living(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    living, dead = (world.register(0, ["q"], None) for _ in range(2))
    world.claim(0, living, 1)
    world.claim(0, dead, 2)
    world.cancel(world.held_by(0, dead)[0].id)
    live_on(world, living)
    world.reap(0, living)
    world.reap(0, living)
    world.quiesce()


def poison(world: World) -> None:
    world.submit(world.make(0))
    reaper = world.register(0, ["r"], None)
    for turn in range(6):
        victim = world.register(0, ["q"], None)
        world.claim(0, victim, 1)
        if turn > 2 and world.standing("running"):
            world.begin(world.standing("running")[0])
        live_on(world, reaper)
        world.reap(0, reaper)
    world.quiesce()


def a_restart(world: World) -> None:
    world.submit(world.make(0))
    first, second = (world.register(0, ["q"], None) for _ in range(2))
    world.claim(0, second, 1)
    world.advance(2_500)
    world.reap(0, first)
    world.extend(0, second)
    world.advance(4_900)
    world.extend(0, first)
    world.advance(4_900)
    world.extend(0, first)
    world.restart()
    world.advance(6_000)  # the server was away; the lease of the second is over, the first's is not
    world.reap(0, first)
    world.quiesce()


def clocks(world: World) -> None:
    world.submit(world.make(0), world.make(0, delay=600_000))
    first, second = (world.register(0, ["q"], None) for _ in range(2))
    world.claim(0, second, 1)
    for step in (3_600_000, -9_000, -3_600_000, 1_000):
        world.advance(4_000)
        world.extend(0, first)
        world.extend(0, second)
        world.step_clock(step)
        world.advance(1_000)
        world.extend(0, first)
        world.reap(0, first)
    world.step_clock(3_600_000)
    world.reap(0, first)
    world.quiesce()


def times(world: World) -> None:
    world.submit(*(world.make(0, delay=ms) for ms in (900, 100, 500)), world.make(0, expires_in=50))
    world.submit(world.make(0, run_at=world.now + 300), world.make(0, delay=100, expires_in=200))
    worker = world.register(0, ["q"], None)
    for _ in range(10):
        for job in world.claim(0, worker, 1):
            world.settle(0, worker, [world.outcome(world.jobs[job.id], "completed")])
        world.advance(100)
    world.quiesce()


def sleepers(world: World) -> None:
    novice, expert = world.register(0, ["q"], {"x"}), world.register(0, ["r", "q"], {"y"})
    world.claim(0, novice, 2)
    world.claim(0, expert, 2)
    world.submit(world.make(0, type="y"))
    world.submit(world.make(0, type="x", delay=1_000))
    world.pause("q")
    world.submit(*(world.make(0, type="x") for _ in range(3)))
    world.claim(0, expert, 2)
    world.resume("q")
    world.retire(0, novice, lost=False)
    world.quiesce()


def history(world: World) -> None:
    worker = world.register(0, ["q"], None)
    for verb in ("completed", "dead", "cancelled"):
        for _ in range(2):
            world.submit(*(world.make(0) for _ in range(4)))
            jobs = world.claim(0, worker, 4)
            world.settle(0, worker, [world.outcome(world.jobs[job.id], verb) for job in jobs])
            world.advance(1_000)
    for _ in range(5):
        world.advance(3_600_000)
        world.extend(0, worker)
        world.reap(0, worker)
    assert not world.jobs
    world.quiesce()


SCENARIOS: list[Scenario] = [
    every_verb, fences, lost_answers, keys_and_refusals, every_person, every_edit, moved_meanwhile, rearranged, ghosts,
    unknown_types, the_dead_and_the_living, poison, a_restart, clocks, times, sleepers, history,
]  # fmt: skip
