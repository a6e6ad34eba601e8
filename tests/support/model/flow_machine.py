"""Workflows in the store, driven step by step in virtual time beside the domain's rules; world.py does single jobs.

`FlowWorld` has one method for each thing that can happen to a workflow. Each calls the broker, tells the domain what
happened, and then compares: every step stands where the rules say, every job was released and has ended as often as it
may, nothing is pending whose parents have all ended, and the auditor finds nothing. `FlowMachine` draws sequences.
"""

import json
import random as chance
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from flows import plan_of, random_form
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from model.job import LEASE, Broken, must
from model.machine import any_number, pick
from model.space import Lives, Space
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.scripts import Rewrite
from boltq.broker.settling import Settling
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict
from boltq.domain.ids import PARTITION_CODES
from boltq.domain.job import ClaimedJob
from boltq.domain.workflow.plan import Group, Plan
from boltq.domain.workflow.progress import Ending, advance
from boltq.domain.workflow.rerun import RerunMode, steps_to_rerun
from boltq.domain.workflow.states import ENDED, UNSTARTED, StepState

T = TypeVar("T")

REACHED: Counter[str] = Counter()
"""What has happened, over all worlds of this run."""

KNOBS = replace(DEFAULT_KNOBS, poison_limit=3)
DELAY = 5_000  # of what is tried again
ENDS = {
    "completed": StepState.COMPLETED,
    "dead": StepState.FAILED,
    "cancelled": StepState.CANCELLED,
    "retrying": StepState.WAITING,
    "snoozed": StepState.WAITING,
    "released": StepState.QUEUED,
}
"""What each verb of an outcome makes of a step."""

ERROR = '{"class":"E","message":"no","category":"data"}'
TEXTS = {"completed": "1", "dead": ERROR, "retrying": ERROR, "cancelled": "because"}


@dataclass
class Flow:
    """What the model knows of a workflow. Steps go by their ids."""

    id: str
    plan: Plan
    home: int
    states: dict[str, StepState]
    jobs: dict[str, str] = field(default_factory=dict)  # of this generation
    ending: Ending | None = None
    end: str | None = None
    generation: int = 1
    deadline: int | None = None
    paused: bool = False
    paused_at: int = 0
    held: set[str] = field(default_factory=set)  # queued, but for the pause
    asked: set[str] = field(default_factory=set)  # running, and asked to stop

    def follow(self) -> None:
        """The rules, with what has just happened."""
        found = advance(self.plan, self.states, self.ending)
        self.states, self.end = dict(found.states), found.end
        self.held |= set(found.ready) if self.paused else set()
        self.held = {name for name in self.held if self.states[name] is StepState.QUEUED}
        self.asked |= set(found.stopped)
        self.asked = {name for name in self.asked if self.states[name] is StepState.RUNNING}

    def begin(self, names: Iterable[str], now: int) -> None:
        """These steps are pending; its time begins."""
        self.states |= dict.fromkeys(names, StepState.PENDING)
        self.ending, self.end, self.paused, self.held = None, None, False, set()
        self.deadline = now + round(self.plan.timeout_seconds * 1_000) if self.plan.timeout_seconds else None
        self.follow()

    def stop(self, ending: Ending) -> None:
        """It shall end before its time; a pause ends with that."""
        if not self.end:
            self.ending, self.paused, self.held = self.ending or ending, False, set()

    def has_open(self, group: Group) -> bool:
        return any(self.states[step.id] not in ENDED for step in self.plan.group(group))


@dataclass
class Held:
    """A run that is on its way."""

    flow: Flow
    step: str
    job: ClaimedJob
    worker: str


def small_budget(name: str, text: str) -> str:
    """For FlowWorld(rewrite=…): a call tells two steps, and the next ones go on."""
    must(name != "lib/flow.lua" or "MOST = 300" in text, "the budget of a cascade has another name")
    return text.replace("MOST = 300", "MOST = 2")


class FlowWorld(Space):
    """One namespace, its broker, two workers a partition, and the model of all workflows."""

    name = "flows"
    knobs = KNOBS

    def __init__(self, url: str, *, partitions: int = 1, rewrite: Rewrite | None = None, patient: bool = False) -> None:
        super().__init__(url, partitions, rewrite)
        self.patient = patient  # a cascade may take several calls
        self.count = 0
        self.flows: dict[str, Flow] = {}
        self.runs: dict[str, Held] = {}  # by job
        self.dues: dict[str, int] = {}  # when a job is tried again
        self.losses: Counter[str] = Counter()  # of workers, by job
        self.stale: list[Settling] = []
        self.workers: dict[str, int] = {}  # name -> partition
        self.beats: dict[str, int] = {}
        self.events: dict[int, str] = {}  # the last one seen
        self.moves: dict[str, Counter[str]] = {}  # of each job, as the events tell
        self.workflows = Workflows(self.broker)
        for home in range(partitions):
            self.register(home)
            self.register(home)
        self.advance(3_000)  # until then, they take nothing back

    # Workflows

    def submit(self, form: str, home: int = 0) -> Flow:
        self.count += 1
        flow_id, plan = f"{self.count:024d}{PARTITION_CODES[home]}", plan_of(form)
        answer = self.run(self.workflows.submit(plan, form, workflow_id=flow_id))
        must((answer.id, answer.created) == (flow_id, True), f"a new workflow: {answer}")
        again = self.run(self.workflows.submit(plan, form, workflow_id=flow_id))
        must((again.id, again.created) == (flow_id, False), f"the same again: {again}")
        flow = self.flows[flow_id] = Flow(flow_id, plan, home, {})
        flow.begin([step.id for step in plan.steps], self.now)
        self._after(home)
        return flow

    def cancel(self, flow: Flow) -> None:
        if self._steer(flow, "cancel", also="cancelled"):
            flow.stop(Ending.CANCELLED)
            flow.follow()
        self._after(flow.home)

    def pause(self, flow: Flow) -> None:
        if self._steer(flow, "pause") and not flow.paused:
            flow.paused, flow.paused_at = True, self.now
            flow.held = {name for name, state in flow.states.items() if state is StepState.QUEUED}
        self._after(flow.home)

    def resume(self, flow: Flow) -> None:
        if self._steer(flow, "resume"):
            if flow.paused and flow.deadline is not None:
                flow.deadline += self.now - flow.paused_at
            flow.paused, flow.held = False, set()
        self._after(flow.home)

    def _steer(self, flow: Flow, verb: str, also: str = "") -> bool:
        REACHED[f"{verb} {flow.end or 'running'}"] += 1
        try:
            self.run(getattr(self.workflows, verb)(flow.id))
        except Conflict:
            must(flow.end and flow.end != also, f"{verb} of {flow.id}, which is {flow.end or 'running'}, was refused")
            return False
        must(not flow.end or flow.end == also, f"{verb} of {flow.id}, which has {flow.end}")
        return not flow.end

    def cancel_steps(self, flow: Flow, *names: str) -> None:
        """A person cancels single steps."""
        before = {name: flow.states[name] for name in dict.fromkeys(names)}
        verdicts = self.run(self.broker.cancel([flow.jobs[name] for name in before]))
        for (name, state), verdict in zip(before.items(), verdicts, strict=True):
            REACHED[f"cancel a step that is {state}"] += 1
            if state in UNSTARTED:
                must(verdict.word == "cancelled", f"{name} is {state}: {verdict}")
                flow.states[name] = StepState.CANCELLED
            elif state is StepState.RUNNING:
                must(verdict.word == "running", f"{name} runs: {verdict}")
                flow.asked.add(name)
            else:
                gone = state in (StepState.CANCELLED, StepState.SKIPPED)
                must(verdict.word == ("cancelled" if gone else "CONFLICT"), f"{name} has {state}: {verdict}")
        flow.follow()
        self._after(flow.home)

    def rerun(self, flow: Flow, mode: RerunMode, from_step: str | None = None) -> None:
        chosen = steps_to_rerun(flow.plan, flow.states, mode, from_step) if flow.end else ()
        REACHED[f"rerun {mode}{'' if chosen else ' refused'}"] += 1
        try:
            begun = self.run(self.workflows.rerun(flow.id, mode, from_step=from_step))
        except Conflict:
            must(not chosen, f"a rerun of {chosen} was refused")
            return
        must(begun == chosen, f"{begun} begin again, not {chosen}")
        flow.generation += 1
        flow.begin(chosen, self.now)
        self._after(flow.home)

    # Workers

    def register(self, home: int) -> str:
        self.count += 1
        name = f"w{self.count}"
        self.run(self.broker.register(home, name, info="{}", queues=["default"], types=None, lease_ms=LEASE))
        self.workers[name], self.beats[name] = home, self.now
        return name

    def claim(self, worker: str, n: int) -> list[Held]:
        home = self.workers[worker]
        reply = self.run(self.broker.claim(home, worker, n))
        self._time_is_up(home)
        found = [self._took(worker, job) for job in reply.jobs]
        self._after(home)
        return found

    def _took(self, worker: str, job: ClaimedJob) -> Held:
        flow, step = self._owner(job.id)
        self._promoted(flow, step)
        must(not flow.end, f"{step} was claimed, and its workflow has {flow.end}")
        must(flow.states[step] is StepState.QUEUED, f"{step} was claimed, and is {flow.states[step]}")
        must(step not in flow.held, f"{step} was claimed during a pause")
        flow.states[step] = StepState.RUNNING
        self.runs[job.id] = Held(flow, step, job, worker)
        if self.losses[job.id]:  # a suspect: its worker tells that it begins, so that a further loss counts
            self.run(self.broker.begin(flow.home, worker, job))
        return self.runs[job.id]

    def _owner(self, job_id: str) -> tuple[Flow, str]:
        for flow in self.flows.values():
            self._read_jobs(flow)
            for step, own in flow.jobs.items():
                if own == job_id:
                    return flow, step
        raise Broken(f"{job_id} is no step's job of this generation")

    def _promoted(self, flow: Flow, step: str) -> None:
        """The store made it ready by itself: when its time had come, it may."""
        if flow.states[step] is StepState.WAITING:
            due = self.dues.get(flow.jobs[step], 0)
            must(due <= self.now, f"{step} is early: due at {due}, now {self.now}")
            flow.states[step] = StepState.QUEUED

    def settle(self, worker: str, ends: Sequence[tuple[Held, str]], n: int = 0, *, twice: bool = False) -> None:
        """The worker tells how runs ended, and claims; perhaps its first call got no answer."""
        home = self.workers[worker]
        outcomes = [self._outcome(held, verb) for held, verb in ends]
        reply = self.run(self.broker.settle(home, worker, outcomes, n))
        must(not reply.refused, f"{outcomes} were refused: {reply.refused}")
        touched: list[Flow] = []
        for held, verb in ends:
            self._ended(held, verb)
            touched.append(held.flow)
        self._time_is_up(home, touched)
        for job in reply.claim.jobs:
            self._took(worker, job)
        self.stale += outcomes
        if twice and outcomes:
            again = self.run(self.broker.settle(home, worker, outcomes))
            must([word for _, word in again.refused] == ["LEASE_LOST"] * len(outcomes), f"told twice: {again}")
        self._after(home)

    def _outcome(self, held: Held, verb: str) -> Settling:
        return Settling(held.job.id, held.job.delivery, verb, 1, DELAY, TEXTS.get(verb, ""))

    def _ended(self, held: Held, verb: str) -> None:
        flow, step = held.flow, held.step
        asked = step in flow.asked
        end = StepState.CANCELLED if asked and verb in ("retrying", "snoozed", "released") else ENDS[verb]
        REACHED[f"{verb}{' though asked to stop' if asked else ''}"] += 1
        del self.runs[held.job.id]
        flow.states[step] = end
        flow.asked.discard(step)
        if end is StepState.WAITING:
            self.dues[held.job.id] = self.now + DELAY
            self.losses[held.job.id] = 0

    def settle_stale(self, number: int) -> None:
        """An outcome that was told before, or of a run that is over: refused, and nothing changes."""
        one = pick(self.stale, number)
        if one is None:
            return
        home = PARTITION_CODES.index(one.id[-2:])
        self.run(self.broker.settle(home, "nobody", []))  # what is due happens now, and the clock is this moment's
        self._time_is_up(home)
        before = self.raw.execute_command("DEBUG", "DIGEST")
        holder = self.runs[one.id].worker if one.id in self.runs else "nobody"
        reply = self.run(self.broker.settle(home, holder, [one]))
        must([word for _, word in reply.refused] == ["LEASE_LOST"], f"a stale outcome: {reply}")
        must(self.raw.execute_command("DEBUG", "DIGEST") == before, "a stale outcome has changed something")
        REACHED["stale"] += 1
        self._after(home)

    def lose(self, worker: str) -> None:
        """A worker dies; when its lease is over, another takes back what it held."""
        home = self.workers.pop(worker)
        reaper = self.register(home)
        for _ in range(4):
            self.advance(4_500)
        reaped = self.run(self.broker.reap(home, reaper))
        held = [run for run in self.runs.values() if run.worker == worker]
        must(reaped.taken_back == len(held), f"{worker} held {len(held)}: {reaped}")
        self._lost(held)
        self._time_is_up(home, [run.flow for run in held])
        self._after(home)

    def retire(self, worker: str, *, lost: bool) -> None:
        home = self.workers.pop(worker)
        taken = self.run(self.broker.retire(home, worker, lost=lost))
        held = [run for run in self.runs.values() if run.worker == worker]
        must(taken == len(held), f"{worker} held {len(held)}, and {taken} were taken back")
        if lost:
            self._lost(held)
        else:
            for run in held:
                self._ended(run, "released")
        self.stale += [self._outcome(run, "completed") for run in held]
        for run in held:
            run.flow.follow()
        self.register(home)
        self._after(home)

    def _lost(self, held: Sequence[Held]) -> None:
        for run in held:
            self.losses[run.job.id] += 1
            poisoned = self.losses[run.job.id] >= KNOBS.poison_limit and run.step not in run.flow.asked
            self._ended(run, "dead" if poisoned else "released")
            REACHED["poison" if poisoned else "lost"] += 1
            self.stale.append(self._outcome(run, "completed"))

    # Time

    def advance(self, ms: int) -> None:
        """Time passes, and the living beat."""
        while ms > 0:
            step = min(ms, 4_500)
            ms, self.now = ms - step, self.now + step
            for name, home in self.workers.items():
                self.run(self.broker.extend(home, name, LEASE, self.now - self.beats[name]))
                self.beats[name] = self.now

    def _time_is_up(self, home: int, touched: Sequence[Flow] = ()) -> None:
        """Whoever claims, settles or reaps ends what took too long; before that, what ended in the same call counts."""
        for flow in self.flows.values():
            late = flow.home == home and flow.deadline is not None and flow.deadline <= self.now and not flow.end
            if late and not flow.ending and not flow.paused and flow.has_open(Group.STEPS):
                REACHED["timed out"] += 1
                flow.stop(Ending.TIMED_OUT)
                flow.follow()
            elif flow in touched:
                flow.follow()

    # Looking

    def _after(self, home: int) -> None:
        """Read the mail, let a cascade go on to its end, and compare."""
        for _ in range(1_000 if self.patient else 0):
            if not self._has_work(home):
                break
            self.run(self.broker.settle(home, "nobody", []))
            self._time_is_up(home)
        for worker, its in self.workers.items():
            if its == home:
                self._read_mail(home, worker)
        self._read_events(home)
        for flow in self.flows.values():
            if flow.home == home:
                self._compare(flow)
        self.audit_now_and_then()

    def _has_work(self, home: int) -> bool:
        return bool(self.raw.zcount(self.key(home, "workflows:due"), 1, 1))

    def _read_mail(self, home: int, worker: str) -> None:
        key = self.key(home, f"mail:{worker}")
        while letter := self.raw.lpop(key):
            kind, *rest = msgspec.msgpack.decode(letter)
            if kind == "jobs":
                REACHED["handed"] += 1
                for row in rest[0]:
                    self._took(worker, ClaimedJob(*row))

    def _read_jobs(self, flow: Flow) -> None:
        numbers = {str(n): step.id for n, step in enumerate(flow.plan.steps, 1)}
        stored = self.raw.hgetall(self.key(flow.home, f"workflow:{flow.id}:jobs"))
        flow.jobs = {numbers[n.decode()]: job.decode() for n, job in stored.items()}

    def _read_events(self, home: int) -> None:
        """Count each job's moves, and see that each is one that may be just now."""
        start = f"({self.events[home]}" if home in self.events else "-"
        for event_id, fields in self.raw.xrange(self.key(home, "events"), start, "+"):
            self.events[home] = event_id.decode()
            for text, ids in fields.items():
                _, _, _, before, after = text.decode().split(" ")
                for job_id in ids.decode().split(" "):
                    self.moves.setdefault(job_id, Counter())[f"{before} {after}"] += 1

    def _compare(self, flow: Flow) -> None:
        self._read_jobs(flow)
        record = self.run(self.workflows.get(flow.id))
        for name, state in record.states.items():
            if state is StepState.QUEUED and flow.states[name] is StepState.WAITING:
                self._promoted(flow, name)
        wrong = {name: (str(s), str(flow.states[name])) for name, s in record.states.items() if s != flow.states[name]}
        must(not wrong, f"in the store and by the rules: {wrong}")
        must(record.state == (flow.end or "running"), f"it is {record.state}, not {flow.end or 'running'}")
        must(record.generation == flow.generation, f"generation {record.generation}, not {flow.generation}")
        must(flow.end or record.paused == flow.paused, f"paused: {record.paused}")
        self._check_order(flow, record)
        for step in record.steps:
            self._check_job(flow, step.id, self.moves.get(step.job_id, Counter()))
        self._check_asked(flow)

    def _check_order(self, flow: Flow, record: WorkflowRecord) -> None:
        """Without the rules: who waits, waits for something; what has ended has nothing open, what runs has."""
        still = [name for name, state in record.states.items() if state not in ENDED]
        must(bool(still) == (record.state == "running"), f"it is {record.state}, and {still} are open")
        for step in flow.plan.steps:
            if record.states[step.id] is StepState.PENDING:
                earlier = any(_ORDER[flow.plan.by_id[name].group] < _ORDER[step.group] for name in still)
                before = {*step.parents, *step.awaits}.intersection(still)
                must(earlier or before, f"{step.id} is pending and waits for nothing")

    def _check_job(self, flow: Flow, step: str, moves: Counter[str]) -> None:
        """Its job was made once, released once (at once or later; again after a pause), and has ended at most once."""
        state = flow.states[step]
        away = int(state is StepState.PENDING or step in flow.held)
        released = moves["new queued"] + moves["blocked queued"] - moves["queued blocked"]
        if state in (StepState.SKIPPED, StepState.CANCELLED):
            must(released in (0, 1), f"{step} was released {released} times")
        else:
            must(released == 1 - away, f"{step}, which is {state}, was released {released} times")
        ends = sum(count for move, count in moves.items() if move.split(" ")[1] in ("completed", "dead", "cancelled"))
        must(ends == (state in ENDED), f"{step}, which is {state}, has ended {ends} times")
        made = sum(count for move, count in moves.items() if move.startswith("new "))
        must(made == 1, f"the job of {step} was made {made} times")

    def _check_asked(self, flow: Flow) -> None:
        """Those and only those that shall stop were asked to."""
        for name, state in flow.states.items():
            if state is StepState.RUNNING:
                asked = bool(self.raw.hget(self.key(flow.home, f"job:{flow.jobs[name]}"), "cancel"))
                must(asked == (name in flow.asked), f"{name} was {'' if asked else 'not '}asked to stop")

    # The end

    def quiesce(self) -> None:
        """Pauses end, and everything succeeds: every workflow must come to its end."""
        for flow in self.flows.values():
            if flow.paused and not flow.end:
                self.resume(flow)
        for _ in range(300):
            for worker in list(self.workers):
                mine = [run for run in self.runs.values() if run.worker == worker]
                self.settle(worker, [(run, "completed") for run in mine], 5)
            if all(flow.end for flow in self.flows.values()):
                return
            self.advance(DELAY)
        raise Broken(f"stuck: {[(flow.id, flow.states) for flow in self.flows.values() if not flow.end]}")


_ORDER = {group: number for number, group in enumerate(Group)}

MOST_FLOWS = 3
TIMEOUTS = st.sampled_from([0, 0, 0, 20, 60])
LIKELY = st.sampled_from([True, True, True, False])
VERBS = st.lists(
    st.sampled_from(["completed", "completed", "completed", "dead", "cancelled", "retrying", "snoozed", "released"]),
    min_size=1,
    max_size=5,
)


class FlowMachine(Lives):
    """Draws what happens next. Subclasses say on which server."""

    reached = REACHED
    patient = False
    world: FlowWorld

    def make_world(self) -> FlowWorld:
        rewrite = type(self).rewrite
        return FlowWorld(self.url, partitions=self.partitions, rewrite=rewrite, patient=self.patient)

    def _flow(self, number: int, *, running: bool = True) -> Flow | None:
        """A workflow that runs, or any."""
        flows = list(self.world.flows.values())
        return (pick([flow for flow in flows if not flow.end], number) if running else None) or pick(flows, number)

    def _worker(self, number: int) -> str:
        worker = pick(sorted(self.world.workers), number)
        assert worker
        return worker

    @initialize(seed=st.integers(0, 999_999), timeout=TIMEOUTS, home=any_number)
    def begin(self, seed: int, timeout: int, home: int) -> None:
        self.submit(seed, timeout, home)

    @rule(seed=st.integers(0, 999_999), timeout=TIMEOUTS, home=any_number)
    def submit(self, seed: int, timeout: int, home: int) -> None:
        if len(self.world.flows) >= MOST_FLOWS:
            return
        form = json.loads(random_form(chance.Random(seed)))
        if timeout and not self.patient:
            form["timeout_seconds"] = timeout
        self._step("submit", json.dumps(form), home % self.partitions)

    @rule(worker=any_number, n=st.integers(1, 3))
    def claim(self, worker: int, n: int) -> None:
        self._step("claim", self._worker(worker), n)

    @rule(worker=any_number, verbs=VERBS, n=st.integers(0, 2), twice=st.booleans())
    def settle(self, worker: int, verbs: list[str], n: int, twice: bool) -> None:
        holders = sorted({run.worker for run in self.world.runs.values()})
        name = pick(holders, worker) or self._worker(worker)
        runs = [run for run in self.world.runs.values() if run.worker == name]
        self._step("settle", name, list(zip(runs, verbs, strict=False)), n, twice=twice)

    @rule(worker=any_number, n=st.integers(1, 4), verbs=VERBS, times=st.integers(1, 3))
    def work(self, worker: int, n: int, verbs: list[str], times: int) -> None:
        """Claim, settle at once, and claim with that."""
        name = self._worker(worker)
        self._step("claim", name, n)
        for _ in range(times):
            runs = [run for run in self.world.runs.values() if run.worker == name]
            self._step("settle", name, list(zip(runs, verbs, strict=False)), n)

    @rule(number=any_number)
    def settle_stale(self, number: int) -> None:
        self._step("settle_stale", number)

    @rule(worker=any_number)
    def lose(self, worker: int) -> None:
        self._step("lose", self._worker(worker))

    @rule(worker=any_number, lost=st.booleans())
    def retire(self, worker: int, lost: bool) -> None:
        self._step("retire", self._worker(worker), lost=lost)

    @rule(number=any_number, running=LIKELY)
    def cancel(self, number: int, running: bool) -> None:
        if flow := self._flow(number, running=running):
            self._step("cancel", flow)

    @rule(number=any_number, steps=st.lists(any_number, min_size=1, max_size=2), running=LIKELY)
    def cancel_steps(self, number: int, steps: list[int], running: bool) -> None:
        if flow := self._flow(number, running=running):
            names = sorted(name for name, state in flow.states.items() if state not in ENDED) or sorted(flow.states)
            self._step("cancel_steps", flow, *(names[step % len(names)] for step in steps))

    @rule(number=any_number, running=LIKELY)
    def pause_or_resume(self, number: int, running: bool) -> None:
        if flow := self._flow(number, running=running):
            self._step("resume" if flow.paused else "pause", flow)

    @rule(number=any_number, mode=st.sampled_from(RerunMode), step=any_number, running=LIKELY)
    def rerun(self, number: int, mode: RerunMode, step: int, running: bool) -> None:
        flow = pick([flow for flow in self.world.flows.values() if flow.end or not running], number)
        start = pick(flow.plan.group(Group.STEPS), step) if flow else None
        if flow and start:
            self._step("rerun", flow, mode, start.id if mode is RerunMode.FROM_STEP else None)
        else:  # nothing has ended yet
            self.work(number, 4, ["completed", "dead", "completed", "completed"], 2)

    @rule(ms=st.sampled_from([1, 900, 5_000, 31_000]))
    def advance(self, ms: int) -> None:
        self._step("advance", ms)
