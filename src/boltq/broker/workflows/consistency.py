"""The auditor's look at workflows: do their sets, their steps' ends and their jobs agree, and can each go on?"""

from collections.abc import Awaitable, Callable, Mapping, Set as AbstractSet
from typing import Any, Final

import msgspec

from boltq.broker.replies import as_mapping, as_text
from boltq.domain.workflow.phases import Phase, traits_of

Pipeline = Callable[..., Awaitable[list[Any]]]
Report = Callable[[str, str, str, str], None]  # code, place, id, text

_JOBS: Final = {"completed": {"completed"}, "failed": {"dead"}, "cancelled": {"cancelled"}, "skipped": {"cancelled"}}
_ENDED: Final = {"completed", "dead", "cancelled"}


async def audit_workflows(keys: AbstractSet[str], jobs: Mapping[str, str], pipeline: Pipeline, report: Report) -> None:
    """Look at the workflows of a partition; `jobs` are the states of its jobs."""
    ids = sorted(key[9:] for key in keys if key.startswith("workflow:") and key.count(":") == 1)
    known = {*ids, *_texts((await pipeline(("LRANGE", "workflows:gone", 0, -1)))[0])}  # those are being cleared away
    for key in sorted(keys):
        kind, _, rest = key.partition(":")
        if kind == "workflow" and ":" in rest and rest.split(":")[0] not in known:
            report("orphan", key, "", "of a workflow that is gone")
    for workflow_id in ids:
        place = f"workflow:{workflow_id}"
        commands: list[tuple[Any, ...]] = [
            ("HMGET", place, "state", "group", "todo", "paused"),
            ("HGETALL", f"{place}:ends"),
            ("HGETALL", f"{place}:jobs"),
            *(("SMEMBERS", f"{place}:open:{group}") for group in (1, 2, 3)),
        ]
        head, ends, own, *opened = await pipeline(*commands)
        look = _Look(place, head, as_mapping(ends), as_mapping(own), [_texts(page) for page in opened], jobs, report)
        look.check()
        waiting = [n for n in look.pending if n in look.opened[look.group - 1]] if look.running else []
        if waiting and not look.todo:
            infos, left = await pipeline(("HMGET", f"{place}:steps", *waiting), ("HMGET", f"{place}:left", *waiting))
            for number, info, count in zip(waiting, infos, left, strict=True):
                look.check_left(number, msgspec.msgpack.decode(info or b"\x90"), int(count or 0))
        await _check_held(look, pipeline)


async def _check_held(look: "_Look", pipeline: Pipeline) -> None:
    """A step that has begun and whose job is blocked waits for items, a workflow or a person, or for a pause's end."""
    blocked = look.blocked if look.running and not look.todo else []
    if not blocked:
        return
    phases = await pipeline(*(("HGET", f"job:{look.own[number]}", "phase") for number in blocked))
    held = _texts((await pipeline(("SMEMBERS", f"{look.place}:held")))[0]) if look.paused else set()
    for number, phase in zip(blocked, phases, strict=True):
        if not traits_of(Phase(as_text(phase)) if phase else None).for_others and number not in held:
            look.wrong("flow-held", number, "it has begun, its job is blocked, and nothing will release it")


class _Look:
    """One workflow."""

    def __init__(
        self, place: str, head: Any, ends: dict[str, str], own: dict[str, str], opened: list[set[str]],
        jobs: Mapping[str, str], report: Report,
    ) -> None:  # fmt: skip
        state, group, todo, self.paused = head
        self.place, self.ends, self.own, self.opened, self.jobs = place, ends, own, opened, jobs
        self.running, self.group, self.todo = as_text(state) == "running", int(group or 1), todo
        self._report = report
        self.pending = [number for number in own if number not in ends]
        self.ended = {number for number, end in ends.items() if end != "started"}
        self.blocked = [n for n, end in ends.items() if end == "started" and jobs.get(own[n]) == "blocked"]

    def check(self) -> None:
        still = set().union(*self.opened)
        for number in sorted((set(self.own) - self.ended) ^ still):
            self.wrong("flow-open", number, f"{self.ends.get(number, 'pending')}, and the open steps say otherwise")
        if not self.running and still:
            self.wrong("flow-open", "", f"it has ended, and {len(still)} steps have not")
        for number, job in self.own.items():
            self._check_step(number, job)
        going = {self.jobs.get(self.own[number]) for number in self.own.keys() - self.ended}
        if self.running and not self.todo and not self.paused and not going:
            self.wrong("flow-stuck", "", "it runs, and has no step that could end")

    def _check_step(self, number: str, job: str) -> None:
        state, end = self.jobs.get(job), self.ends.get(number, "pending").split(" ")[0]
        if end in _JOBS:
            if state is not None and state not in _JOBS[end]:
                self.wrong("flow-step", number, f"{end}, and its job {job} is {state}")
        elif state is None or state in _ENDED or (end == "pending" and state != "blocked"):
            self.wrong("flow-step", number, f"{end}, and its job {job} is {state or 'gone'}")

    def check_left(self, number: str, info: list[Any], left: int) -> None:
        """A pending step of the group whose turn it is waits for as many steps as have not ended."""
        waits = {str(other) for other in (*info[2], *info[3])} - self.ended if info else set()
        if not left:
            self.wrong("flow-left", number, "it waits for nothing, and was not decided")
        if left != len(waits):
            self.wrong("flow-left", number, f"it waits for {left} steps, and of those before it {len(waits)} are open")

    def wrong(self, code: str, number: str, text: str) -> None:
        """Report it."""
        self._report(code, f"{self.place}{f' step {number}' if number else ''}", "", text)


def _texts(page: Any) -> set[str]:
    return {as_text(value) for value in page}
