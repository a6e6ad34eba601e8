"""What is done to jobs: which ones, and what became of each."""

from typing import Final

import msgspec

from boltq.domain.errors import Conflict, NotFound, QueueFull, TooManyQueues

JobRef = str | tuple[str, int]
"""A job's id; or that and its JobRecord.since, as a fence: a job that has moved meanwhile is left alone (CHANGED)."""

REFUSED: Final = frozenset({"NOT_FOUND", "CONFLICT", "CHANGED", "FULL", "QUEUES"})


class JobVerdict(msgspec.Struct, frozen=True):
    """What became of one id of a batch: what was done or the new state, or a refusal; and where the job stands now."""

    id: str
    word: str
    state: str = ""
    workflow: str = ""  # to which it belongs, where that is why it was refused

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.word not in REFUSED

    @property
    def advice(self) -> str:
        """What to do instead with a step of a workflow; empty for any other job."""
        instead = f"it is a step of the workflow {self.workflow}: rerun, cancel or delete that"
        return instead if self.workflow else ""

    def check(self) -> "JobVerdict":
        """Raise NotFound, Conflict or QueueFull when it was refused."""
        if self.word == "NOT_FOUND":
            raise NotFound(f"no job {self.id}")
        if self.word == "CONFLICT":
            raise Conflict(f"job {self.id} is {self.state}{self.advice and f'; {self.advice}'}")
        if self.word == "CHANGED":
            raise Conflict(f"job {self.id} has moved meanwhile: it is {self.state}")
        if self.word == "FULL":
            raise QueueFull(f"the queue for the replay of job {self.id} is full")
        if self.word == "QUEUES":
            raise TooManyQueues(f"that of the replay of job {self.id}")
        return self


def verdict_of(job_id: str, text: str) -> JobVerdict:
    """From a script's answer: a word, and maybe the state of the job."""
    word, _, rest = text.partition(" ")
    state, _, workflow = rest.partition(" ")
    return JobVerdict(job_id, word, state or ("" if word in REFUSED else word), workflow)
