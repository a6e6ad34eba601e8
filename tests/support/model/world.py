"""The broker's scripts on a real server, driven step by step in virtual time beside an independent model of a queue.

`World` has one method for each thing that can happen. Each calls the broker, works out in plain Python what must
follow, and then compares the whole store with that. What the store may do by itself (promote what is due, expire,
prune, hand jobs to a sleeping worker) is not predicted but watched: every change must be one that is allowed just now.
`Machine` draws sequences of such steps; the scripted scenarios call them in a chosen order.
"""

from model.job import WAITING, Broken, must
from model.people import People
from model.workers import Workers


class World(People, Workers):
    """One namespace, its broker, and the model of both."""

    def quiesce(self) -> None:
        """All faults are healed, one worker a partition lives and does everything: every job must come to its end."""
        for queue in sorted(self.paused):
            self.resume(queue)
        homes = range(self.partitions)
        healers = {home: self.register(home, ["q", "r"], None) for home in homes}
        for _ in range(200):
            for home, healer in healers.items():
                self._heal(home, healer)
            if not self.standing("queued", "running", *WAITING):
                return
            waits = [job.due - self.seen[job.partition] for job in self.standing(*WAITING)]
            self.advance(max(4_000, min(waits, default=4_000)) if not self.standing("queued", "running") else 4_000)
        raise Broken(f"stuck: {self.standing('queued', 'running', *WAITING)}")

    def _heal(self, home: int, healer: str) -> None:
        self.extend(home, healer)
        self.reap(home, healer)
        for _ in range(50):
            mine = self.held_by(home, healer)
            if mine:
                self.settle(home, healer, [self.outcome(job, "completed") for job in mine])
            elif not self.claim(home, healer, 10):
                return


def long_lists(name: str, text: str) -> str:
    """For Broker(rewrite=…): every list is too long to search it for an id that leaves it, so ghosts stay."""
    short = "local SHORT, MOST_GHOSTS = 1000, 8"
    must(name != "lib/claims.lua" or short in text, "the bound of a short list has another name")
    return text.replace(short, "local SHORT, MOST_GHOSTS = 0, 3")
