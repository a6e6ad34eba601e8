"""`boltq bench`: every figure is there, however small the run."""

import json

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
