"""`boltq bench`: every figure is there, however small the run."""

import json
from importlib.resources import files
from pathlib import Path

from commands import Run

WORKFLOWS = {
    "workflow_diamond_steps_per_s",
    "workflow_job_server_us",
    "workflow_step_server_us",
    "workflow_step_to_job",
    "workflow_ref_steps_per_s",
    "workflow_ref_step_server_us",
    "workflow_ref_step_to_job",
    "workflow_chain_steps_per_s",
    "workflow_chain_step_server_us",
    "workflow_map_items_per_s",
    "workflow_map_item_server_us",
}


def test_a_document_has_the_figures_under_flat_keys(boltq: Run) -> None:
    shown = boltq("bench", "--only", "workflow", "--jobs", "2000", "--json")
    found = json.loads(shown.out)
    assert found.keys() == WORKFLOWS | {"server", "cores", "jobs", "rounds"}
    assert all(found[key] > 0 for key in WORKFLOWS if key.endswith("_per_s"))
    assert found["jobs"] == 2000


def test_a_table_says_what_was_run(boltq: Run) -> None:
    shown = boltq("bench", "--only", "workflow_chain", "--jobs", "500")
    assert "a chain of 5 steps, one after the other" in shown.out
    assert "steps/s" in shown.out


def test_the_other_figures_are_still_there(boltq: Run) -> None:
    shown = boltq("bench", "--only", "submit_callers", "--jobs", "50", "--json")
    assert json.loads(shown.out)["submit_callers_per_s"] > 0


def test_what_each_call_costs_a_full_store(boltq: Run) -> None:
    sizes = ("--jobs", "8000", "--queues", "10", "--types", "10", "--dead", "3000", "--workflows", "20")
    found = json.loads(boltq("bench", "--scale", *sizes, "--json").out)
    assert found["size"] == {"jobs": 8000, "queues": 10, "types": 10, "dead": 3000, "workflows": 20}
    by_script = {row["script"]: row for row in found["calls"]}
    never = {"mark_api_key", "flow_look", "flow_parents", "flow_ends", "flow_head", "flow_step", "flow_signal"}
    never |= {"open", "progress", "op_steer", "flow_items", "alarm", "begin"}
    scripts = {path.stem for path in Path(str(files("boltq.broker").joinpath("lua"))).glob("*.lua")}
    assert scripts - by_script.keys() <= never
    assert by_script["fixed loop"]["calls"] > 20
    assert "fixed loop" not in found["over"]
    assert all(row["most_ms"] >= row["median_ms"] >= 0 for row in by_script.values())
    assert [row["most_ms"] for row in found["calls"]] == sorted((r["most_ms"] for r in found["calls"]), reverse=True)


def test_the_worst_five_are_shown(boltq: Run) -> None:
    sizes = ("--jobs", "2000", "--queues", "5", "--types", "5", "--dead", "100", "--workflows", "5")
    shown = boltq("bench", "--scale", *sizes).out.splitlines()
    assert "2,000 jobs, 5 queues" in shown[0]
    assert sum(" ms at most, " in line for line in shown) == 5
    assert "one and the same loop took" in shown[-1]
