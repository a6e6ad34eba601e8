"""Runs claimed jobs: makes a run of each, has its task's function called, and awaits how that ends."""

from boltq.app import BoltQ
from boltq.broker.broker import Broker, repeated
from boltq.domain.errors import BoltQError
from boltq.worker.executor import Executor
from boltq.worker.parents import reading
from boltq.worker.processes import ProcessPool
from boltq.worker.progress import Progress
from boltq.worker.run import MayBegin, Run, anything_goes
from boltq.worker.run_factory import RunFactory
from boltq.worker.steps import Steps


class Runner:
    """What a worker and `boltq.testing` do alike: `begin` a run, await its `outcome`; settle `run.settling(outcome)`.

    Belongs to the event loop on which it was made.
    """

    def __init__(self, app: BoltQ, broker: Broker, may_begin: MayBegin = anything_goes) -> None:
        self._progress = Progress(broker)
        self._steps = Steps(broker)
        self._processes = ProcessPool()
        self._executor = Executor(self._processes, self._steps, may_begin)
        self.begin = RunFactory(app, self._progress.add, reading(broker)).run_of
        self.outcome = self._executor.run  # itself, and no method that calls it: each job would pay for that

    async def flush(self, run: Run) -> None:
        """Send the progress and the log lines of a run: before its outcome is settled."""
        await self._progress.flush(run)

    def show(self, run: Run) -> None:
        """Tell the store of a step that runs for a while what its data is."""
        self._steps.show(run)

    def tear_down(self) -> None:
        """From now on a cancel that nobody asked for a run is not for its function."""
        self._executor.closing = True

    def close(self) -> None:
        """Kill the children, and leave threads that still run to the end of the process. Called in a thread."""
        self._executor.close()
        self._processes.close()


def told_to(broker: Broker) -> MayBegin:
    """Tells the store that a suspect is going to begin. It may not if that cannot be told, or its run is not ours."""

    async def may_begin(run: Run) -> bool:
        try:
            await repeated(lambda: broker.begin(run.partition, run.worker, run.job))
        except BoltQError:
            return False
        return True

    return may_begin
