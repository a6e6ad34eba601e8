"""Calls about workflows, and about their steps. Their scripts begin with `flow_`."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from boltq.broker.call import Call, Portion, Row, pack
from boltq.broker.contract import ApprovalRow, ItemRow, Look, StepDataRow, StepEndRow, StepRow, WorkflowRow
from boltq.broker.replies import as_text
from boltq.domain.workflow.approvals import Verdict
from boltq.domain.workflow.states import StepState, WorkflowState

Steering = Literal["cancel", "pause", "resume", "go_on"]


class WorkflowRows(msgspec.Struct, array_like=True):
    """What flow_get.lua answers: see workflow_record."""

    fields: list[Any]  # of the workflow: name, value, name, value and so on
    steps: list[StepRow]
    latest: int  # the generation that there is now


def submit(partition: int, new: Row, key: str, digest: str) -> Call[tuple[str, str]]:
    """A new workflow, as wire_plan makes it. Answers a word, and the workflow's id or what else it speaks of."""
    return Call("flow_submit", partition, (pack(new), key, digest), _read_texts)


def get(partition: int, workflow_id: str, generation: int, most_bytes: int, *, form: bool) -> Call[WorkflowRows]:
    """A workflow with all its steps: as they stand, or (`generation`) as an earlier run of it has ended.

    `most_bytes`: of errors and answers.
    """
    return Call("flow_get", partition, (workflow_id, int(form), most_bytes, generation), _read_workflow)


def head(partition: int, workflow_id: str) -> Call[WorkflowRow]:
    """A workflow without its steps."""
    return Call("flow_head", partition, (workflow_id,), _read_line)


def ends(partition: int, workflow_id: str, numbers: Sequence[int], most_bytes: int) -> Call[list[StepEndRow] | int]:
    """How these steps ended, with their results; only how many bytes those have, where they are more."""
    return Call("flow_ends", partition, (workflow_id, pack(numbers), most_bytes), _read_ends)


def data(partition: int, workflow_id: str, numbers: Sequence[int], most_bytes: int) -> Call[list[StepDataRow]]:
    """What these steps were given and gave."""
    return Call("flow_data", partition, (workflow_id, pack(numbers), most_bytes), _read_data)


def items(
    partition: int,
    workflow_id: str,
    number: int,
    first: int,
    states: Sequence[StepState],
    most: int,
    look_at: int,
    most_bytes: int,
) -> Call[tuple[int, list[ItemRow]]]:
    """The items of a map from the first one on, and with which to go on, or 0. `most_bytes`: of their errors."""
    args = (workflow_id, number, first, " ".join(states), most, look_at, most_bytes)
    return Call("flow_items", partition, args, _read_items)


def list_(
    partition: int,
    cursor: str,
    states: Sequence[WorkflowState],
    name: str,
    created: tuple[int | None, int | None],
    most: int,
    look_at: int,
    *,
    nested: bool | None,
) -> Call[Portion[list[WorkflowRow]]]:
    """Workflows that fit, the newest first. `created`: at or after the one (ms), before the other.

    `nested`: only sub-workflows, or only those that are none.
    """
    after, before = (-1 if moment is None else moment for moment in created)
    level = "" if nested is None else str(int(nested))
    args = (cursor, " ".join(states), name, after, before, most, look_at, level)
    return Call("flow_list", partition, args, _read_lines)


def children(partition: int, workflow_id: str, cursor: int, most: int) -> Call[tuple[int, list[WorkflowRow]]]:
    """Sub-workflows of a workflow from a cursor on, about so many, and the next cursor; 0 to begin and at the end."""
    return Call("flow_children", partition, (workflow_id, cursor, most), _read_children)


def approvals(partition: int, cursor: str, most: int, most_bytes: int) -> Call[Portion[list[ApprovalRow]]]:
    """Steps of all workflows that wait for a person. `most_bytes`: of their prompts."""
    return Call("flow_approvals", partition, (cursor, most, most_bytes), _read_approvals)


def jobs(partition: int, workflow_id: str, number: int, listed: int, most: int) -> Call[tuple[int, int, list[Row]]]:
    """Jobs of a workflow, from a step on of which so many are listed: where to go on (step or 0, listed), and rows."""
    return Call("flow_jobs", partition, (workflow_id, number, listed, most), _read_jobs)


def delete(partition: int, workflow_id: str) -> Call[int]:
    """Delete a workflow that has ended. Answers 1 when there is more to clear away: call again, with the id ""."""
    return Call("flow_delete", partition, (workflow_id,), int)


def signal(partition: int, workflow_id: str, number: int, answer: str, meaning: str) -> Call[Verdict]:
    """Answer an approval: JSON of an Answer, and its meaning, a text that is equal for answers that mean the same."""
    return Call("flow_signal", partition, (workflow_id, number, answer, meaning), _read_signalled)


def rerun(
    partition: int,
    workflow_id: str,
    generation: int,
    rows: Sequence[Row],
    fields: Sequence[Any],
    others: Sequence[Row],
    *,
    replaces_children: bool,
) -> Call[int]:
    """Run a workflow of this generation again: steps of wire_again, new fields, infos that change. The new generation.

    `replaces_children`: some of the steps that begin anew are sub-workflows.
    """
    args = (workflow_id, generation, pack(rows), pack(fields), pack(others), int(replaces_children))
    return Call("flow_rerun", partition, args, int)


def look(partition: int, job_id: str, most_bytes: int) -> Call[Look | int]:
    """What the step of a claimed job is about; only how many bytes of results it refers to, where they are more."""
    return Call("flow_look", partition, (job_id, most_bytes), _read_look)


def parents(partition: int, job_id: str, most_bytes: int) -> Call[tuple[list[tuple[str, str]], int]]:
    """Ids and results of the steps that a job's step depends on, and their bytes; no results where those are more."""
    return Call("flow_parents", partition, (job_id, most_bytes), _read_parents)


def steer(partition: int, workflow_id: str, verb: Steering) -> Call[tuple[WorkflowState, int]]:
    """Cancel, pause or resume a workflow. Answers its state, and how much is left to do: then go on."""
    return Call("flow_steer", partition, (workflow_id, verb), _read_steered)


def step(partition: int, job_id: str, delivery: int, worker: str, verb: str, args: Sequence[object]) -> Call[str]:
    """What a step that a worker has claimed does instead of running. Answers a word: see flow_step.lua."""
    return Call("flow_step", partition, (job_id, delivery, worker, verb, pack(args)), as_text)


_read_line: Final = msgspec.msgpack.Decoder(WorkflowRow).decode
_read_lines: Final = msgspec.msgpack.Decoder(Portion[list[WorkflowRow]]).decode
_read_data: Final = msgspec.msgpack.Decoder(list[StepDataRow]).decode
_read_approvals: Final = msgspec.msgpack.Decoder(Portion[list[ApprovalRow]]).decode
_read_workflow: Final = msgspec.msgpack.Decoder(WorkflowRows).decode
_read_ends: Final = msgspec.msgpack.Decoder(list[StepEndRow] | int).decode
_read_items: Final = msgspec.msgpack.Decoder(tuple[int, list[ItemRow]]).decode
_read_children: Final = msgspec.msgpack.Decoder(tuple[int, list[WorkflowRow]], strict=False).decode
_read_jobs: Final = msgspec.msgpack.Decoder(tuple[int, int, list[Row]]).decode
_read_look: Final = msgspec.msgpack.Decoder(Look | int).decode
_read_parents: Final = msgspec.msgpack.Decoder(tuple[list[tuple[str, str]], int]).decode


def _read_texts(reply: Sequence[bytes]) -> tuple[str, str]:
    word, about = reply
    return as_text(word), as_text(about)


def _read_signalled(reply: bytes) -> Verdict:
    return Verdict(as_text(reply))


def _read_steered(reply: tuple[bytes, int]) -> tuple[WorkflowState, int]:
    state, left = reply
    return WorkflowState(as_text(state)), left
