"""`boltq dev`: a store, a worker and the API in one terminal, started and stopped in order."""

import argparse
import asyncio
import logging
import re
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

    from boltq.broker.store import Store
    from boltq.cli.dev_process import DevProcess
    from boltq.settings import Settings

_EXAMPLES = """\
examples:
  boltq dev                        the built-in job types: echo, sleep, ...
  boltq dev tasks:app --reload     `app = BoltQ()` in tasks.py; start again when the code changes
  API_PORT=9000 boltq dev
  REDIS_ADDR=localhost:6379 boltq dev

Ctrl-C stops everything: running jobs may finish, then the API ends, then the store. A second one hurries.
Accepted jobs stay in the data directory (BOLTQ_DATA, .boltq)."""

_COLOURS: Final = {"api": "cyan", "worker": "green", "boltq": "magenta"}
_LISTENS: Final = re.compile(r"listens on (http://\S+)")
_CURL: Final = """\
curl -X POST URL/api/v1/jobs -H 'Content-Type: application/json' \\
             -d '{"type":"echo","data":{"message":"Hello World"}}'"""
_QUICK: Final = 5.0  # seconds: a worker that dies sooner is started again with a pause
_PAUSE: Final = 2.0
_API_SECONDS: Final = 15.0  # for the API's last requests; more than it gives them itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("app", nargs="?", metavar="module:app", help="the application (the built-in job types)")
    parser.add_argument("--reload", action="store_true", help="start the worker again when a Python file changes")
    parser.add_argument("--port", type=int, help="the API's port; 0: any that is free (API_PORT, 8080)")
    parser.add_argument("--slots", type=int, metavar="N", help="jobs at once (NUM_WORKERS, 4)")
    parser.add_argument("--queues", metavar="A,B", help="the queues to serve (BOLTQ_QUEUES, default)")


def run(args: argparse.Namespace) -> int:
    """Run everything until told to stop."""
    from rich.console import Console

    from boltq.broker.store import Store
    from boltq.cli import log_lines
    from boltq.settings import Settings

    settings = Settings.from_env(api_port=args.port, num_workers=args.slots, queues=args.queues)
    screen = Screen(Console(soft_wrap=True, highlight=False, markup=False, emoji=False))
    log_lines.set_up(settings, screen.handler())
    with Store(settings) as store:
        return asyncio.run(Dev(args, settings, store, screen).run())


class Screen:
    """The terminal, shared by all parts: each line stands under the name of who said it."""

    def __init__(self, console: "Console") -> None:
        self.console = console

    def say(self, who: str, line: str) -> None:
        """One line of a part."""
        from rich.text import Text

        self.console.print(Text.assemble((f"{who:<6} │ ", _COLOURS.get(who, "")), Text.from_ansi(line)))

    def handler(self) -> logging.Handler:
        """For the log lines of this process."""
        screen = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                screen.say("boltq", self.format(record))

        return Handler()


class Dev:
    """The parts, and the order in which they come and go."""

    def __init__(self, args: argparse.Namespace, settings: "Settings", store: "Store", screen: Screen) -> None:
        from boltq.worker.supervisor import Notice

        self._store, self._settings, self._screen = store, settings, screen
        self._notice = Notice()
        self._worker = self._part("worker", *_worker_words(args))
        self._api = self._part("api", *(["--port", str(args.port)] if args.port is not None else []))
        self._stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run the parts until told to stop; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        async with asyncio.TaskGroup() as group:
            api = group.create_task(self._run_api())
            worker = group.create_task(self._run_worker())
            await self._stopping.wait()
            self._worker.stop()
            await asyncio.wait({worker})
            self._api.stop()
            await asyncio.wait({api}, timeout=_API_SECONDS)
            self._api.kill()
        return self._exit_code

    def _part(self, name: str, *words: str) -> "DevProcess":
        from boltq.cli.dev_process import DevProcess
        from boltq.settings import inherited_environment
        from boltq.worker.supervisor import child_command

        # Each part attaches to the embedded store by itself: should this process be killed, the last one out ends it.
        environment = inherited_environment(PYTHONUNBUFFERED="1")
        return DevProcess(name, child_command(name, *words), environment, self._hear)

    def _told_to_stop(self) -> None:
        if self._notice.again():
            self._worker.stop()  # it knows what a second time means
            self._api.kill()
        elif not self._stopping.is_set():
            self._note("stopping: running jobs may finish; Ctrl-C again hurries")
        self._stopping.set()

    async def _run_api(self) -> None:
        code = await self._api.run()
        if not self._stopping.is_set():
            self._note(f"the API has ended (exit code {code}): everything stops")
            self._exit_code = 1
            self._stopping.set()

    async def _run_worker(self) -> None:
        """Start the worker again when it dies; one that cannot run ends everything."""
        from boltq.worker.supervisor import HOPELESS

        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._worker.run()
            if self._stopping.is_set():
                return
            if code in HOPELESS:
                self._note("the worker cannot run: everything stops")
                self._exit_code = code
                self._stopping.set()
                return
            if code == 0:
                self._note("the worker was told to stop: the API goes on without it")
                return
            self._note(f"the worker has ended (exit code {code}): starting it again")
            await asyncio.sleep(_PAUSE if loop.time() - started < _QUICK else 0)

    def _hear(self, who: str, line: str) -> None:
        found = _LISTENS.search(line) if who == "api" else None
        if found:
            self._welcome(found.group(1))
        else:
            self._screen.say(who, line)

    def _welcome(self, url: str) -> None:
        """The banner: when the API listens, everything is there."""
        print_banner(self._screen.console, url, self._where(), self._login())

    def _login(self) -> str:
        """What a shell puts in for the token; nothing when nobody has to log in."""
        from boltq.server.http.token import asks_for_login

        if not asks_for_login(self._settings):
            return ""
        return "$BOLTQ_TOKEN" if self._settings.token else f"$(cat '{self._settings.token_path}')"

    def _where(self) -> tuple[str, str]:
        if self._store.embedded:
            return "data", str(self._store.embedded.directory)
        from boltq.broker.connect import without_secret

        return "store", without_secret(self._store.address)

    def _note(self, text: str) -> None:
        self._screen.say("boltq", text)


def print_banner(console: "Console", url: str, where: tuple[str, str], login: str = "") -> None:
    """What one has to know to begin."""
    from rich.text import Text

    curl = _CURL.replace("URL", url)
    if login:
        curl = curl.replace(" \\\n", f""" -H "Authorization: Bearer {login}" \\\n""")
    console.print()
    console.print(Text("  BoltQ runs.", style="bold"))
    console.print()
    for name, value in (("API", url), ("try it", curl), where):
        console.print(Text(f"  {name:<9}", style="dim") + Text(value))
    console.print()
    console.print(Text("  Ctrl-C stops everything.", style="dim"))
    console.print()


def _worker_words(args: argparse.Namespace) -> list[str]:
    words = [args.app] if args.app else []
    if args.slots is not None:
        words += ["--slots", str(args.slots)]
    if args.queues is not None:
        words += ["--queues", args.queues]
    return [*words, "--reload"] if args.reload else words
