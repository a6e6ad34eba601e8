"""The command line for tests: called here, on the shared server, in a directory and a namespace of its own."""

import asyncio
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apis import running_api
from commands import Ran, Run

from boltq import BoltQ, JobContext, Settings, Worker
from boltq.cli import main
from boltq.domain.outcome import DataError, TransientError

TASKS = '''
import asyncio
from boltq import BoltQ

app = BoltQ()
other = BoltQ()
number = 3

@app.task
async def double(n: int) -> int:
    """Twice the number."""
    return n * 2
'''


@pytest.fixture
def boltq(
    valkey: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Carries out a command line."""
    for name, value in {"REDIS_ADDR": valkey, "BOLTQ_NAMESPACE": namespace}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BOLTQ_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture(params=["store", "api"])
def anywhere(
    request: pytest.FixtureRequest, boltq: Run, valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Carries out a command line with the store at hand, and then over HTTP."""
    if request.param == "store":
        yield boltq
        return
    with running_api(valkey, namespace=namespace) as url:
        monkeypatch.setenv("BOLTQ_URL", url)
        monkeypatch.setenv("REDIS_ADDR", "unix:///nobody/is/there")  # it must not be asked
        yield boltq


@pytest.fixture
def app(valkey: str, namespace: str) -> Iterator[BoltQ]:
    """An application on the same store."""
    app = BoltQ(settings=Settings(redis_addr=valkey, namespace=namespace))

    @app.task
    async def echo(**data: Any) -> dict[str, Any]:
        return data

    @app.task
    async def talk(job: JobContext, lines: int = 3) -> None:
        for n in range(lines):
            job.log(f"line {n}")

    @app.task
    async def spoil(text: str = "spoilt") -> None:
        raise DataError(text)

    @app.task(max_attempts=1)
    async def falter() -> None:
        raise TransientError("not today")

    yield app
    app.close_sync()


@pytest.fixture
def work(app: BoltQ) -> Callable[[], None]:
    """Runs all jobs that wait."""

    async def run() -> None:
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        inspector = (await app.connections()).inspector
        while any(stats.queued or stats.running for stats in await inspector.queues()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        worker.stop()
        await running
        await app.close()

    return lambda: asyncio.run(run())


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A module with two applications in the current directory."""
    file = tmp_path / "cli_tasks.py"
    file.write_text(TASKS)
    return file
