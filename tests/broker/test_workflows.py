"""Workflows in the store: whole runs beside the domain's rules, and what may go wrong between any two calls."""

import random as chance

import pytest
from flows import Played, form_of, plan_of, random_form, step

from boltq.broker.audit import audit
from boltq.broker.broker import Broker
from boltq.broker.calls import Settling
from boltq.broker.workflows import Workflows
from boltq.domain.workflow.states import StepState


async def begin(broker: Broker, form: str) -> Played:
    plan = plan_of(form)
    submitted = await Workflows(broker).submit(plan, form)
    home = broker.layout.of_id(submitted.id)
    worker = f"w{submitted.id}"
    await broker.register(home, worker, info="{}", queues=["default"], types=None, lease_ms=60_000)
    return Played(broker, plan, submitted.id, worker)


@pytest.mark.parametrize("seed", range(60))
async def test_the_store_follows_the_rules_whatever_happens(broker: Broker, seed: int) -> None:
    """Claims, ends of one or several steps, repeated calls, hand-backs and a cancel, in any order."""
    random = chance.Random(seed)
    run = await begin(broker, random_form(random))
    await run.check()
    for _ in range(200):
        if run.end:
            break
        action = random.random()
        if run.held and action < 0.1:
            await run.retry(random.choice(sorted(run.held)))
        elif run.held and action < 0.6:
            names = random.sample(sorted(run.held), random.randint(1, min(3, len(run.held))))
            ends = {
                name: StepState.CANCELLED
                if name in run.stopped
                else random.choice([StepState.SUCCEEDED, StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED])
                for name in names
            }
            await run.settle(ends, twice=random.random() < 0.3)
        elif action < 0.63 and not run.ending and seed % 2:
            await run.cancel()
        else:
            await run.claim(random.randint(1, 3))
        await run.check()
    assert run.end
    assert await audit(broker, pauses=()) == []
