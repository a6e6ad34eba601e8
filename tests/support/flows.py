"""Workflows for tests: random ones, and a driver that has the store's scripts play one beside the domain's rules."""

import json
import random as chance
from typing import Any

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.settling import Settling
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import ClaimedJob
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.plan import Group, Plan
from boltq.domain.workflow.progress import Ending, advance
from boltq.domain.workflow.states import StepState

VERBS = {
    StepState.COMPLETED: ("completed", "1"),
    StepState.FAILED: ("dead", '{"class":"E","message":"no","category":"data"}'),
    StepState.CANCELLED: ("cancelled", "because"),
}


def step(name: str, *parents: str, **fields: Any) -> dict[str, Any]:
    """A step of the form."""
    kind = {} if fields.keys() & {"wait", "approval", "workflow"} else {"job_type": "t"}
    return {"id": name, "depends_on": list(parents), **kind, **fields}


def form_of(*steps: dict[str, Any], policy: str = "continue", **fields: Any) -> str:
    """The JSON text of a workflow."""
    return json.dumps({"name": "w", "steps": steps, "on_failure_policy": policy, **fields})


def plan_of(form: str) -> Plan:
    """Its plan."""
    return compile_workflow(read_form(form))


def random_form(random: chance.Random) -> str:
    """A workflow of plain jobs with any rules and handlers."""
    steps = _random_steps(random, [f"s{n}" for n in range(random.randint(1, 9))])
    handlers: dict[str, Any] = {}
    for group in ("on_failure", "finally"):
        if random.random() < 0.5:
            names = [f"{group[0]}{n}" for n in range(random.randint(1, 3))]
            handlers[group] = _random_steps(random, names)
    return form_of(*steps, policy=random.choice(["fail_fast", "continue"]), **handlers)


def _random_steps(random: chance.Random, names: list[str]) -> list[dict[str, Any]]:
    before: dict[str, set[str]] = {}  # for each step all those that come before it
    steps: list[dict[str, Any]] = []
    for name in names:
        parents = random.sample(list(before), random.randint(0, min(3, len(before))))
        before[name] = set(parents).union(*(before[parent] for parent in parents))
        steps.append(_random_step(random, name, parents, sorted(before[name])))
    return steps


def _random_step(random: chance.Random, name: str, parents: list[str], earlier: list[str]) -> dict[str, Any]:
    rules: list[Any] = ["all_success", "all_success", "all_done", "none_failed"]
    if parents:
        rules += ["one_success", "one_failed", "one_done", "all_failed", "all_skipped", "none_failed_min_one_success"]
        rules += [{"at_least": random.randint(1, len(parents))}]
    refers = {"x": f"{{{{ steps.{random.choice(earlier)}.state }}}}"} if earlier and random.random() < 0.4 else {}
    return step(name, *parents, run_if=random.choice(rules), allow_failure=random.random() < 0.2, params=refers)


class Played:
    """One workflow in the store, and the domain's opinion of it."""

    def __init__(self, broker: Broker, plan: Plan, workflow_id: str, worker: str) -> None:
        self.broker, self.plan, self.id, self.worker = broker, plan, workflow_id, worker
        self.workflows = Workflows(broker)
        self.home = broker.layout.of_id(workflow_id)
        self.held: dict[str, ClaimedJob] = {}  # by step
        self.claims: list[str] = []
        self.states = {s.id: StepState.PENDING for s in plan.steps}
        self.ending: Ending | None = None
        self.end: Any = None
        self._follow()

    def _follow(self) -> None:
        found = advance(self.plan, self.states, self.ending)
        self.states, self.end, self.stopped = dict(found.states), found.end, found.stopped

    async def check(self) -> WorkflowRecord:
        """The store's workflow stands as the domain says."""
        await self._open_mail()
        record = await self.workflows.get(self.id)
        found = record.states
        assert found == self.states, {k: (found[k], self.states[k]) for k in found if found[k] != self.states[k]}
        assert record.state == (self.end or "running")
        return record

    async def claim(self, n: int) -> None:
        """A worker takes up to n jobs."""
        await self._take((await self.broker.claim(self.home, self.worker, n)).jobs)

    async def _open_mail(self) -> None:
        """What was handed to it while it slept."""
        key = f"{self.broker.layout.prefix(self.home)}mail:{self.worker}"
        while letter := await self.broker.redis.lpop(key):
            kind, *rest = msgspec.msgpack.decode(letter)
            if kind == "jobs":
                await self._take([ClaimedJob(*row) for row in rest[0]])

    async def _take(self, jobs: list[ClaimedJob]) -> None:
        steps = {s.job_id: s.id for s in (await self.workflows.get(self.id)).steps}
        for job in jobs:
            self.held[steps[job.id]] = job
            self.claims.append(job.id)
            self.states[steps[job.id]] = StepState.RUNNING
        self._follow()

    async def settle(self, ends: dict[str, StepState], *, twice: bool = False) -> None:
        """The worker tells how steps ended."""
        outcomes = []
        for name, state in ends.items():
            job = self.held.pop(name)
            verb, text = VERBS[state]
            outcomes.append(Settling(job.id, job.delivery, verb, 1, 0, text))
            self.states[name] = state
        await self.broker.settle(self.home, self.worker, outcomes)
        if twice:
            again = await self.broker.settle(self.home, self.worker, outcomes)
            assert {word for _, word in again.refused} == {"LEASE_LOST"}
        self._follow()

    async def retry(self, name: str) -> None:
        """A step fails and shall be tried again."""
        job = self.held.pop(name)
        await self.broker.settle(self.home, self.worker, [Settling(job.id, job.delivery, "released", 1)])
        self.states[name] = StepState.QUEUED
        self._follow()

    async def cancel(self) -> None:
        """A person cancels it."""
        self.ending = Ending.CANCELLED
        await self.workflows.cancel(self.id)
        self._follow()


__all__ = ["Group", "Played", "form_of", "plan_of", "random_form", "step"]
