"""The same storm over workflows: whatever dies, each ends as it must, and each of its steps has had its effect once."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from storm import Run, Storm, Tally

from boltq import BoltQ, StoreError
from boltq.broker.consistency import audit
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.ids import new_id
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.states import StepState, WorkflowState

NUMBERS = 20  # of effects of one workflow
FALLS, CRIES = 9, 10  # only in those that fail
JOBS = 16  # of one workflow that fails: ten steps, what fails, three items and two steps inside; one less of the others


@dataclass
class FlowTally(Tally):
    """What happened to workflows."""

    unfinished: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # ended, and not as they must


class FlowStorm(Storm):
    """`plan.jobs` is the number of workflows."""

    tally: FlowTally

    async def run(self) -> FlowTally:
        """The storm, the calm after it, and the count."""
        self.tally = FlowTally(self.plan.seed)
        self._ids: list[str] = []
        await super().run()
        return self.tally

    async def _submit_all(self, app: BoltQ) -> None:
        begun, line = time.monotonic(), await app.connections()
        workflows = Workflows(line.broker)
        while len(self._ids) < self.plan.jobs:
            number = len(self._ids)
            self._ids.append(new_id(number % self.plan.partitions))
            form = form_of(number)
            while True:  # with the same id until the answer comes
                try:
                    answer = await workflows.submit(compile_workflow(read_form(form)), form, workflow_id=self._ids[-1])
                    break
                except StoreError:
                    await asyncio.sleep(0.05)
            self.tally.acked += 1
            self.tally.recovered += not answer.created
            ahead = begun + self.plan.seconds * len(self._ids) / self.plan.jobs - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)

    async def _calm_down(self, app: BoltQ) -> None:
        """Until no workflow runs."""
        begun = time.monotonic()
        workflows = Workflows((await app.connections()).broker)
        waiting = list(self._ids)
        while waiting and time.monotonic() - begun < 60:
            if (await workflows.get(waiting[-1])).state is WorkflowState.RUNNING:
                await asyncio.sleep(0.05)
            else:
                waiting.pop()
        self.tally.unfinished = waiting
        self.tally.calm_after = round(time.monotonic() - begun, 2)

    async def _count(self, app: BoltQ) -> None:
        line = await app.connections()
        workflows = Workflows(line.broker)
        for number, workflow_id in enumerate(self._ids):
            self.tally.wrong += wrongs_of(number, await workflows.get(workflow_id))
        runs: dict[int, list[Run]] = {}
        for run in self._read_ledgers():
            runs.setdefault(run.number, []).append(run)
        self.tally.runs = sum(len(found) for found in runs.values())
        expected = {n for number in range(len(self._ids)) for n in effects_of(number)}
        self.tally.lost += [f"{n} never ran to its end" for n in expected if not any(r.end for r in runs.get(n, ()))]
        self.tally.ghosts += [f"run of {n}" for n in runs.keys() - expected]
        for found in runs.values():
            self._judge(sorted(found, key=lambda run: run.start))
        ended = sum(q.completed_total + q.dead_total + q.cancelled_total for q in await line.inspector.queues())
        self.tally.double_commits = ended - sum(JOBS - (not fails(n)) for n in range(len(self._ids)))
        self.tally.findings = await audit(line.broker)


def fails(number: int) -> bool:
    return number % 4 == 3


def effects_of(number: int) -> list[int]:
    """The numbers with which its functions are called, each once."""
    most = CRIES + 1 if fails(number) else FALLS
    return [number * NUMBERS + n for n in (*range(most), 11)]


def form_of(number: int) -> str:
    """A diamond with a map, a wait, an approval that nobody answers and a workflow inside; every fourth one fails."""
    first = number * NUMBERS

    def job(name: str, kind: str, n: Any, *parents: str, **more: Any) -> dict[str, Any]:
        return {"id": name, "job_type": kind, "params": {"n": n}, "depends_on": parents, **more}

    inner = {
        "name": "inner",
        "steps": [job("one", "nothing", "{{ input.n }}"), job("two", "nothing", first + 8, "one")],
        "output": "{{ steps.one.result }}",
    }
    steps = [
        job("top", "nothing", first),
        job("left", "stumble", first + 1, "top"),
        job("right", "nothing", first + 2, "top"),
        job("many", "nothing", "{{ item }}", "left", map={"over": "{{ input.items }}", "max_concurrency": 2}),
        {"id": "pause", "wait": {"seconds": 0.05}, "depends_on": ["right"]},
        {
            "id": "yes",
            "approval": {"prompt": "ok?", "timeout_seconds": 0.1, "on_timeout": "approve"},
            "depends_on": ["pause"],
        },
        {"id": "deep", "workflow": inner, "params": {"n": first + 6}, "depends_on": ["many"]},
        job("join", "nothing", first + 7, "yes", "deep"),
    ]
    if fails(number):
        steps.append(job("fall", "fall", first + FALLS, "top"))
    form = {
        "name": "storm",
        "on_failure_policy": "continue",
        "input": {"items": [first + 3, first + 4, first + 5]},
        "steps": steps,
        "on_failure": [job("cry", "nothing", first + CRIES)],
        "finally": [job("tidy", "nothing", first + 11)],
        "output": ["{{ steps.many.result }}", "{{ steps.deep.result }}"],
    }
    return json.dumps(form)


def wrongs_of(number: int, record: WorkflowRecord) -> list[str]:
    """What stands otherwise than it must."""
    expected = dict.fromkeys(record.states, StepState.COMPLETED)
    if fails(number):
        expected["fall"] = StepState.FAILED
    else:
        expected["cry"] = StepState.SKIPPED
    end = WorkflowState.FAILED if fails(number) else WorkflowState.COMPLETED
    found = [f"{number} {name}: {state}" for name, state in record.states.items() if state is not expected[name]]
    return found if record.state is end else [*found, f"{number}: {record.state}"]
