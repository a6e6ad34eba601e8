"""Everything dies all the time, and no job is lost."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from night import by_day

sys.path.insert(0, str(Path(__file__).parent / "chaos"))

from flow_storm import FlowStorm
from storm import Plan, Storm


@pytest.mark.slow
async def test_no_job_is_lost_in_a_storm_of_kill_9(tmp_path, request, partitions, capsys):
    """Workers are killed and frozen at random, and the store is killed; what ran twice did so for a reason.

    A second run of a job is excused only if the worker of the first was killed or frozen before its outcome can have
    been told: an absence of the store is no excuse. The ledger is kept outside of it, by the functions themselves.
    """
    tally = await _run(Storm, _plan_of(request, partitions), tmp_path, capsys)

    assert tally.phantoms == []


@pytest.mark.slow
@pytest.mark.any_partitions  # by day one storm over four of them must do
async def test_a_history_shorter_than_a_retry_makes_no_second_job(tmp_path, request, partitions, capsys):
    """The same, while the store keeps hardly any record: who repeats a submission is told that it was there."""
    plan = _plan_of(request, partitions)
    plan.kept = 100
    tally = await _run(Storm, plan, tmp_path, capsys)

    assert tally.repeats >= 1_000


@pytest.mark.slow
@pytest.mark.any_partitions  # by day one storm over four of them must do
async def test_a_flapping_neighbour_keeps_no_dead_worker_alive(tmp_path, request, partitions, capsys):
    """The same beside a worker that is stopped for most of each lease, which goes on in the calm."""
    plan = _plan_of(request, partitions)
    plan.flapping = True
    tally = await _run(Storm, plan, tmp_path, capsys)

    assert tally.flaps >= 10


@pytest.mark.slow
@pytest.mark.any_partitions  # by day one storm over four of them must do
async def test_no_step_is_stranded_in_a_storm_of_kill_9(tmp_path, request, partitions, capsys):
    """The same with workflows: each has ended as it must, and each of its steps had its effect once.

    A second run of a step is excused as above. A hundredth as many workflows as jobs.
    """
    plan = _plan_of(request, partitions)
    plan.jobs = max(4, plan.jobs // 100)
    tally = await _run(FlowStorm, plan, tmp_path, capsys)

    assert tally.unfinished == []
    assert tally.wrong == []


def _plan_of(request: Any, partitions: int) -> Plan:
    seed = request.config.getoption("--chaos-seed")
    plan = Plan(seed=random.randrange(1_000_000) if seed is None else seed)
    plan.partitions = partitions
    plan.jobs = request.config.getoption("--chaos-jobs") or by_day(10_000, 20_000)
    plan.seconds = request.config.getoption("--chaos-seconds") or by_day(10.0, 20.0)
    return plan


async def _run(storm: type[Storm], plan: Plan, folder: Path, capsys: Any) -> Any:
    """What happened in a storm, after what holds for each of them was looked at."""
    tally = await storm(plan, folder).run()
    with capsys.disabled():
        print(f"\n{storm.__name__}: {tally}")
    assert tally.acked == plan.jobs
    assert tally.lost == []
    assert tally.ghosts == []
    assert tally.unexcused == []
    assert tally.double_commits == 0
    assert tally.findings == []
    assert tally.worker_kills >= 3
    assert tally.store_kills >= 1
    assert tally.holes >= 3
    return tally
