"""BoltQ inside of programs that fork, begin and end event loops, outlive their main thread, or run a cell again."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from boltq import BoltQ, InvalidJob, JobCancelled, Settings, WaitTimeout, Worker
from boltq.broker.embedded import EmbeddedStore

SECONDS = 60
NAN = float("nan")


def program(text, folder, **environment):
    """What a program prints; it has to end by itself, without a word on stderr."""
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        cwd=folder, env=given, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    return found.stdout.split()


@pytest.fixture(params=["a server", "embedded"])
def store(request, valkey, namespace, tmp_path):
    """The environment that names a store."""
    if request.param == "embedded":
        return {"BOLTQ_DATA": str(tmp_path / "data")}
    return {"REDIS_ADDR": valkey, "BOLTQ_NAMESPACE": namespace}


FORKS = {
    "os.fork": """
        def in_child(function):
            pid = os.fork()
            if pid == 0:
                function()
                sys.exit(0)  # through all that is registered for the end
            return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """,
    "os._exit": """
        def in_child(function):
            pid = os.fork()
            if pid == 0:
                function()
                os._exit(0)
            return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """,
    "multiprocessing": """
        import multiprocessing
        def in_child(function):
            child = multiprocessing.get_context("fork").Process(target=function)
            child.start()
            return lambda: (child.join(), child.exitcode)[1]
    """,
}


@pytest.mark.parametrize("fork", FORKS)
def test_a_forked_child_uses_the_application_of_its_parent(store, fork, tmp_path):
    """As under gunicorn --preload, uWSGI and multiprocessing; the parent's store and connections stay as they are."""
    text = f"""
        import os, sys
        {textwrap.indent(textwrap.dedent(FORKS[fork]), " " * 8).strip()}
        from boltq import BoltQ
        app = BoltQ()
        first = app.submit_sync("x")
        server = app.access._store.embedded.pid if app.access._store.embedded else 0

        def child():
            assert app.access._portal is None and app.access._by_loop == {{}}
            for _ in range(3):
                assert app.submit_sync("x", {{"of": "child"}}).record_sync().state == "queued"
            assert app.job(first.id).record_sync().id == first.id

        waits = [in_child(child) for _ in range(3)]
        second = app.submit_sync("x")
        print(*(wait() for wait in waits))
        assert second.record_sync().state == "queued"
        third = app.submit_sync("x")
        assert third.record_sync().state == first.record_sync().state == "queued"
        assert server == (app.access._store.embedded.pid if app.access._store.embedded else 0)
        print("done")
    """
    assert program(text, tmp_path, **store) == ["0", "0", "0", "done"]


def test_a_child_that_does_nothing_leaves_nothing_behind(tmp_path):
    """The parent is the last one out of the embedded store, though a child is alive that was forked from it."""
    text = """
        import os, signal, sys, time
        from boltq import BoltQ
        app = BoltQ()
        app.submit_sync("x")
        store = app.access._store.embedded
        go, said = os.pipe()
        there, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(said)
            os.write(tell, b"x")
            os.read(go, 1)  # until the parent's end of the pipe is closed
            sys.exit(0)
        os.read(there, 1)  # it runs, so it has let go of what was its parent's
        app.close_sync()
        print(store.running, os.waitpid(child, os.WNOHANG)[0])
        os.close(said)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert program(text, tmp_path, BOLTQ_DATA=str(tmp_path / "data")) == ["False", "0", "0"]


def test_a_fork_inside_of_an_event_loop(store, tmp_path):
    """The child begins a loop of its own; the parent's goes on."""
    text = """
        import asyncio, os, sys
        from boltq import BoltQ
        app = BoltQ()

        async def one():
            return (await (await app.submit("x")).record()).state

        async def main():
            print(await one())
            child = os.fork()
            if child == 0:
                assert app.submit_sync("x").record_sync().state == "queued"
                os._exit(0)
            print(await asyncio.to_thread(lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
            print(await one())

        asyncio.run(main())
    """
    assert program(text, tmp_path, **store) == ["queued", "0", "queued"]


def test_the_testing_kit_of_a_parent_is_left_alone(tmp_path):
    """A forked child of a test process starts a store of its own."""
    text = """
        import os, sys
        from boltq import BoltQ
        from boltq.testing import inline_sync
        app = BoltQ()

        @app.task
        def double(n: int) -> int:
            return n * 2

        def round_trip():
            with inline_sync(app) as inline:
                job = double.submit_sync(4)
                inline.run_all()
                return job.result_sync(timeout=20)

        print(round_trip(), flush=True)
        child = os.fork()
        if child == 0:
            print(round_trip(), flush=True)
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(round_trip())
    """
    assert program(text, tmp_path) == ["8", "8", "0", "8"]


# A timeout counts


def test_the_timeout_of_a_synchronous_wait_counts_whatever_the_loop_does(boltq_app_plain):
    """Also when the loop's thread is held up, so that the wait itself cannot end it."""
    app = boltq_app_plain
    job = app.submit_sync("nobody-runs-this")
    began = time.monotonic()
    with pytest.raises(WaitTimeout):
        job.result_sync(timeout=0.2)
    assert time.monotonic() - began < 10

    async def hold_up():
        time.sleep(5)  # noqa: ASYNC251 - that is what is tried

    holding = threading.Thread(target=app.run_sync, args=(hold_up(),))
    holding.start()
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match="no answer within 0"):
        job.result_sync(timeout=0.2)
    assert time.monotonic() - began < 4
    holding.join()


def test_what_one_caller_raises_does_not_end_the_loop_of_all(boltq_app_plain):
    """SystemExit and KeyboardInterrupt end an event loop; this one goes on."""

    async def leave(error):
        raise error

    for error in (SystemExit(3), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            boltq_app_plain.run_sync(leave(error))
    assert boltq_app_plain.submit_sync("x").record_sync().state == "queued"


async def test_a_timeout_counts_while_the_store_cannot_be_reached():
    """From a new loop, which has no connection yet."""
    app = BoltQ(address="127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match="does not answer"):
        await app.job("01J8ZC5Y3M6Q4T2W1X0VBNKD00").result(timeout=2)
    with pytest.raises(WaitTimeout):
        await asyncio.to_thread(app.job("01J8ZC5Y3M6Q4T2W1X0VBNKD00").result_sync, 0.5)
    with pytest.raises(WaitTimeout):
        await app.workflow("01J8ZC5Y3M6Q4T2W1X0VBNKD00").result(timeout=0.5)
    assert time.monotonic() - began < 10
    await asyncio.to_thread(app.close_sync)


# Event loops


def test_the_connections_of_a_loop_close_with_it(store, tmp_path):
    """A hundred `asyncio.run` leave no connection, no task and no warning behind."""
    text = """
        import asyncio
        from boltq import BoltQ, WaitTimeout
        app = BoltQ()

        async def main(wait):
            job = await app.submit("x")
            if wait:
                try:
                    await job.result(timeout=0.01)
                except WaitTimeout:
                    pass

        async def count():
            line = await app.connections()
            return len([one for one in await line.broker.redis.client_list() if one["name"] == "boltq"])

        before = asyncio.run(count())
        for number in range(100):
            asyncio.run(main(number % 10 == 0))
        print(before, asyncio.run(count()), len(app.access._by_loop))
    """
    before, after, lines = program(text, tmp_path, **store)
    assert (int(after) - int(before), int(lines)) == (0, 1)


def test_a_loop_that_was_closed_with_all_that_ran_on_it_is_let_go(store, tmp_path):
    """Nobody cancelled its tasks, nor ended its generators; its sockets are closed, and nothing complains."""
    text = """
        import asyncio, gc
        from boltq import BoltQ
        app = BoltQ()

        def round_trip():
            loop = asyncio.new_event_loop()
            job = loop.run_until_complete(app.submit("x"))
            waiting = loop.create_task(job.result())
            loop.run_until_complete(asyncio.sleep(0.05))
            waiting.cancel()
            loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
            loop.close()

        async def count():
            line = await app.connections()
            return len([one for one in await line.broker.redis.client_list() if one["name"] == "boltq"])

        before = asyncio.run(count())
        for _ in range(10):
            round_trip()
        gc.collect()
        print(before, asyncio.run(count()), len(app.access._by_loop))
    """
    before, after, lines = program(text, tmp_path, **store)
    assert (int(after) - int(before), int(lines)) == (0, 1)


# The end of a program


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info < (3, 12, 2),
    reason="these two let nobody start a thread after the main one (gh-113964)",
)
def test_a_thread_that_outlives_the_main_one_may_begin_to_submit(store, tmp_path):
    """Its first use, in both ways; hosts that have a name are found, too."""
    store = {name: value.replace("127.0.0.1", "localhost") for name, value in store.items()}
    text = """
        import asyncio, threading
        from boltq import BoltQ

        def late():
            threading.main_thread().join()
            plain, loop = BoltQ(), BoltQ()
            print(plain.submit_sync("x").record_sync().state)

            async def main():
                print((await (await loop.submit("x")).record()).state)

            asyncio.run(main())

        threading.Thread(target=late).start()
    """
    assert program(text, tmp_path, **store) == ["queued", "queued"]


def test_what_is_registered_for_the_end_may_submit(store, tmp_path):
    """What a program registers after its imports runs before the application is closed."""
    text = """
        import atexit
        from boltq import BoltQ
        app = BoltQ()
        atexit.register(lambda: print(app.submit_sync("last").record_sync().state))
        print(app.submit_sync("x").record_sync().state)
    """
    assert program(text, tmp_path, **store) == ["queued", "queued"]


# Definitions that come again


def test_a_cell_that_runs_twice_defines_its_task_anew(tmp_path):
    """The newer definition counts."""
    text = """
        from boltq import BoltQ
        app = BoltQ(address="127.0.0.1:1")
        cell = "@app.task\\ndef add(a: int) -> int:\\n    return {}\\n"
        for number in (1, 2):
            exec(cell.format(number))
        print(app.tasks["add"](0), len(app.tasks))
        exec("@app.task(name='add')\\ndef other(a: int) -> int:\\n    return 3\\n")
        print(app.tasks["add"](0))
    """
    assert program(text, tmp_path) == ["2", "1", "3"]


def test_a_module_that_is_loaded_again_defines_its_tasks_anew(tmp_path):
    """A second definition elsewhere is refused as before, and so is another function under the same name."""
    (tmp_path / "shop.py").write_text("from boltq import BoltQ\n")
    (tmp_path / "base.py").write_text('from boltq import BoltQ\napp = BoltQ(address="127.0.0.1:1")\n')
    (tmp_path / "one.py").write_text("from base import app\n@app.task\ndef add(): ...\n")
    (tmp_path / "two.py").write_text("from base import app\n@app.task\ndef add(): ...\n")
    (tmp_path / "three.py").write_text("from base import app\n@app.task(name='add')\ndef other(): ...\n")
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
            import importlib, one
            importlib.reload(one)
            for name in ("two",):
                try:
                    importlib.import_module(name)
                except ValueError as error:
                    print(error)
            try:
                @one.app.task(name="add")
                def other(): ...
            except ValueError as error:
                print(error)
        """)
    )
    found = program("import main", tmp_path, PYTHONPATH=str(tmp_path))
    assert " ".join(found) == "there is a task 'add' already, in one there is a task 'add' already, in one"


# Outages


async def test_waits_go_on_through_an_outage(tmp_path):
    """Of jobs and of workflows, from loops and from plain code; the store is away for two seconds and more."""
    with EmbeddedStore(tmp_path / "store") as mortal:
        app = BoltQ(settings=Settings(redis_addr=mortal.url, grace=10.0))

        @app.task
        async def slow(n: int) -> int:
            return n

        job = await slow.submit(1)
        flow = await app.submit_workflow({"name": "w", "steps": [{"job_type": "slow", "params": {"n": 2}}]})
        waits = [asyncio.create_task(job.result(timeout=50)), asyncio.create_task(job.result()),
                 asyncio.create_task(asyncio.to_thread(app.job(job.id).result_sync, 50)),
                 asyncio.create_task(flow.result(timeout=50))]  # fmt: skip
        await asyncio.sleep(0.5)
        os.kill(mortal.pid, signal.SIGKILL)
        await asyncio.sleep(2.5)
        late = asyncio.create_task(asyncio.to_thread(BoltQ(settings=app.settings).job(job.id).result_sync, 50))
        await asyncio.sleep(1)
        assert not any(wait.done() for wait in [*waits, late])
        await asyncio.to_thread(mortal.ensure_running)
        worker = Worker(app)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            assert await asyncio.gather(*waits, late) == [1, 1, 1, None, 1]
            worker.stop()
        await app.close()


# A running event loop


async def test_a_synchronous_call_in_a_running_loop_is_refused_at_once(boltq_app):
    """It names the call to use; nothing is submitted, and no coroutine is left over."""

    @boltq_app.task
    async def add(a: int) -> int:
        return a

    job = await add.submit(1)
    run = await boltq_app.submit_workflow({"name": "w", "steps": [{"job_type": "add", "params": {"a": 1}}]})
    before = len((await (await boltq_app.connections()).inspector.page()).jobs)
    for call, instead in [
        (lambda: add.submit_sync(1), "task.submit"),
        (lambda: add.options(delay=3).submit_sync(1), "task.submit"),
        (lambda: boltq_app.submit_sync("add", {"a": 1}), "app.submit"),
        (lambda: boltq_app.submit_many_sync([add.job(1)]), "app.submit_many"),
        (lambda: boltq_app.submit_workflow_sync({"name": "w", "steps": []}), "app.submit_workflow"),
        (lambda: job.result_sync(timeout=1), "job.result"),
        (job.record_sync, "job.record"),
        (job.cancel_sync, "job.cancel"),
        (lambda: run.result_sync(timeout=1), "run.result"),
        (lambda: run.items_sync("step-1"), "run.items"),
    ]:
        with pytest.raises(RuntimeError, match=rf"would block the event loop .* `await {instead}\("):
            call()
    assert len((await (await boltq_app.connections()).inspector.page()).jobs) == before


async def test_a_synchronous_call_in_an_async_task_fails_the_job_instead_of_the_worker(boltq_app, worker):
    """The worker's loop goes on."""

    @boltq_app.task(max_attempts=1)
    async def parent() -> int:
        return child.submit_sync(1).result_sync()

    @boltq_app.task
    async def child(n: int) -> int:
        return n

    async with worker():
        job = await parent.submit()
        other = await child.submit(5)
        assert await other.result(timeout=20) == 5
        with pytest.raises(Exception, match=r"use `await task\.submit\(\.\.\.\)`"):
            await job.result(timeout=20)


# Types are checked at submit


async def test_what_does_not_fit_is_refused_at_submit(boltq_app):
    """Typed, by name and in batches, with the places that HTTP would name; nothing is submitted."""

    @boltq_app.task
    async def add(a: int, b: list[int] | None = None) -> int:
        return a

    for call in (
        lambda: add.submit("1"),
        lambda: add.options(delay=5).submit(a="1"),
        lambda: boltq_app.submit("add", {"a": "1"}),
        lambda: boltq_app.submit_many([boltq_app.job_of("add", {"a": "1"})]),
    ):
        with pytest.raises(InvalidJob, match=r"^/data/a: expected int, got str$"):
            await call()
    with pytest.raises(InvalidJob, match=r"^/data/b/1: .*; /data/c: not a parameter|^/data/a: required"):
        await boltq_app.submit("add", {"b": [1, "x"], "c": 1})
    assert (await (await boltq_app.connections()).inspector.page()).jobs == []


@pytest.fixture
def boltq_app_plain(valkey, namespace):
    """An application for tests without an event loop."""
    app = BoltQ(settings=Settings(redis_addr=valkey, namespace=namespace))
    yield app
    app.close_sync()


def test_what_is_called_when_the_interpreter_takes_itself_apart_is_refused(store, tmp_path):
    """No thread runs any more: `__del__` of what is still there would wait for ever."""
    text = """
        from boltq import BoltQ
        app = BoltQ()
        app.submit_sync("x")
        class Late:
            def __del__(self):
                try:
                    app.submit_sync("x")
                except RuntimeError as error:
                    print(error)
        late = Late()
    """
    assert " ".join(program(text, tmp_path, **store)).startswith("the interpreter is ending")


def test_a_program_without_a_guard_is_not_run_again_by_each_process(store, tmp_path):
    """A process for a task of the program's own file reads that file; it submits nothing, and says what is missing."""
    file = tmp_path / "unguarded.py"
    file.write_text(
        textwrap.dedent("""
            import asyncio
            from boltq import BoltQ, JobFailed, Worker
            app = BoltQ()

            @app.task(executor="process", max_attempts=1)
            def heavy(n: int) -> int:
                return n

            async def main():
                async with app, asyncio.TaskGroup() as group:
                    worker = Worker(app)
                    group.create_task(worker.run())
                    job = await heavy.submit(1)
                    try:
                        await job.result()
                    except JobFailed as failed:
                        print(failed.error.class_name)
                    worker.stop()

            asyncio.run(main())
        """)
    )
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **store}
    found = subprocess.run(
        [sys.executable, str(file)],
        cwd=tmp_path, env=given, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "ProcessEnded\n"), found.stderr
    assert found.stderr.count('put what it does, besides its definitions, under `if __name__ == "__main__":`') == 1


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 1e10])
def test_a_wait_of_endless_time_has_no_timeout(boltq_app_plain, timeout):
    job = boltq_app_plain.submit_sync("x")
    timer = threading.Timer(0.3, job.cancel_sync)
    timer.start()
    with pytest.raises(JobCancelled):
        job.result_sync(timeout=timeout)
    timer.join()


@pytest.mark.parametrize(
    ("timeout", "error"), [("3", TypeError), (True, TypeError), ([], TypeError), (NAN, ValueError)]
)
def test_a_timeout_that_is_no_number_is_named(boltq_app_plain, timeout, error):
    with pytest.raises(error, match=r"^timeout: "):
        boltq_app_plain.job("01M8QJQBKF1S5P49V8AXGE7F00").result_sync(timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 0.1, -1])
def test_a_wait_that_was_too_short_tells_the_number_that_it_was_given(boltq_app_plain, timeout):
    job = boltq_app_plain.submit_sync("x")
    with pytest.raises(WaitTimeout, match=rf"has not ended within {timeout} s"):
        job.result_sync(timeout=timeout)


def test_jobs_may_come_from_a_generator(boltq_app_plain):
    app = boltq_app_plain
    assert len(app.submit_many_sync(app.job_of("x", {"n": n}) for n in range(3))) == 3


@pytest.mark.parametrize("wrong", [("x", {}), "x", lambda: None, None])
def test_what_is_no_job_is_named(boltq_app_plain, wrong):
    with pytest.raises(TypeError, match=r"/jobs/1: a \w+ is no job"):
        boltq_app_plain.submit_many_sync([boltq_app_plain.job_of("x"), wrong])


def test_a_task_is_pickled_by_its_name_and_shows_its_function(store, tmp_path):
    """So that it can be given to a pool of processes, as any function."""
    (tmp_path / "pooled.py").write_text(
        "from boltq import BoltQ\napp = BoltQ()\n@app.task\ndef double(n: int) -> int:\n    return 2 * n\n"
    )
    text = """
        import copy, inspect, multiprocessing, pickle
        from pooled import double
        assert pickle.loads(pickle.dumps(double)) is double is copy.deepcopy(double)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*pool.map(double, [1, 2]))
        print(inspect.signature(double))
    """
    assert program(text, tmp_path, **store) == ["2", "4", "(n:", "int)", "->", "int"]


def test_what_is_registered_by_mistake_is_named(boltq_app_plain):
    app = boltq_app_plain

    @app.task
    def known(n: int) -> int:
        return n

    def hidden(__n: int) -> None: ...  # noqa: PYI063 - as it was written before Python 3.8

    for register, word in (
        (lambda: BoltQ().task(known), "known is a task already: register its function, known.function"),
        (lambda: app.task("name"), r"name: a task's name is given as app.task\(name=...\)"),
        (lambda: app.task(hidden), "task hidden, parameter __n: "),
    ):
        with pytest.raises(TypeError, match=word):
            register()


def test_parameters_may_have_the_names_of_ours(boltq_app_plain):
    @boltq_app_plain.task
    def odd(**words: int) -> None: ...

    assert odd.job(self=1, args=2, kwargs=3).data == '{"self":1,"args":2,"kwargs":3}'
    assert odd.submit_sync(self=1).record_sync().data == '{"self":1}'


def test_an_empty_idempotency_key_is_no_key(boltq_app_plain):
    """Whoever makes a key has something that must not happen twice."""
    with pytest.raises(InvalidJob, match="/idempotency_key: must not be empty"):
        boltq_app_plain.submit_sync("x", idempotency_key="")


def test_where_no_thread_can_be_started_it_is_said_and_nothing_is_left_over(boltq_app_plain, monkeypatch):
    """A bound of the system; and in the first two of Python 3.12 the end of the main thread."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            boltq_app_plain.submit_sync("x")
    assert boltq_app_plain.submit_sync("x").created
