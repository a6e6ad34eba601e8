"""Runs the API: uvicorn on uvloop and httptools, bounded, with one line that says where it listens."""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from boltq.broker.broker import Broker
from boltq.server.app import create_app
from boltq.server.http.announcing import Announcing
from boltq.server.http.complaints import Complaints
from boltq.server.http.guard import is_loopback
from boltq.server.http.held import Bodies
from boltq.server.http.protocol import PATIENCE_SECONDS, BoundedProtocol, patrol
from boltq.server.http.token import Token, token_of
from boltq.settings import Settings
from boltq.telemetry.listeners import Listeners

log = logging.getLogger(__name__)

BACKLOG: Final = 2_048  # connections that wait to be accepted
SHUTDOWN_SECONDS: Final = 10

SayLine = Callable[[str], object]


class CannotListen(RuntimeError):
    """The address cannot be had; the message says why, and what to do."""


def run(settings: Settings, store: str | Broker) -> None:
    """Serve the API until the process is told to stop, by Ctrl-C or SIGTERM."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(_run(settings, store))


async def serve(
    settings: Settings,
    store: str | Broker,
    *,
    announce: SayLine = log.info,
    tell_token: SayLine | None = None,
    listeners: Listeners | None = None,
) -> None:
    """Serve the API until cancelled; what is under way then may finish. Raises CannotListen, BadSetting.

    `tell_token` is told a token that was just made: it must not go where log lines go. `listeners` are told of each
    request that was answered.
    """
    listener = listen(settings.api_host, settings.api_port)
    url = url_of(listener)
    with contextlib.ExitStack() as leaving:
        leaving.callback(listener.close)
        token = token_of(settings)
        app = create_app(settings, store, token)
        leaving.pop_all()

    def ready() -> None:
        announce(f"BoltQ's API listens on {url}")
        if token and token.made and tell_token:
            tell_token(f"log in with this token, shown once and kept in {token.path}: {token.text}")
        _remark(settings, token, url)

    server = _Server(_config(Announcing(app, listeners.announce) if listeners else app), ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        app.closing.set()
        server.should_exit = True
        await serving
        raise


def _remark(settings: Settings, token: Token | None, url: str) -> None:
    """Warnings about how the API can be reached."""
    if token:
        log.info(
            "a login is asked for; the server's own token is %s", f"in {token.path}" if token.path else "BOLTQ_TOKEN"
        )
    elif not is_loopback(settings.api_host):
        log.warning("%s can be reached by other machines, and nobody has to log in", url)
    elif settings.token:
        log.warning("BOLTQ_TOKEN is set, but on loopback nobody has to log in; BOLTQ_AUTH=on changes that")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # asyncio turns Nagle's algorithm off only for sockets that say TCP; with it, each answer takes 40 ms.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}, port {port}: {_why(error)}") from None
    try:
        if sys.platform != "win32":  # there it would mean to take the port away from who has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {host}, port {port}: {_why(error)}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address under which a server that listens there is found."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it, and tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready
        config.callback_notify = self._patrol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()

    async def _patrol(self) -> None:
        await patrol(self.server_state.connections)


async def _run(settings: Settings, store: str | Broker) -> None:
    main = asyncio.current_task()
    if main and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    _relax_collector()
    with contextlib.suppress(asyncio.CancelledError):
        await serve(settings, store, announce=_print, tell_token=_print)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _relax_collector() -> None:
    """Look for cycles less often: requests make none, and looking after every 700 objects took a fifth of the time."""
    gc.collect()
    gc.freeze()  # what is there now stays
    gc.set_threshold(20_000, 20, 50)


def _config(app: ASGIApp) -> uvicorn.Config:
    protocol: Any = partial(BoundedProtocol, bodies=Bodies(), complaints=Complaints())
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",  # there are no web sockets here: who asks for one is answered as if they had not
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is not judged by what he says of himself
        timeout_notify=PATIENCE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _why(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another program listens there, perhaps another BoltQ. Stop it, or choose another API_PORT",
        errno.EACCES: "this user may not use that port. Choose an API_PORT above 1023",
        errno.EADDRNOTAVAIL: "this machine does not have that address. Set BOLTQ_HOST to one that it has",
    }
    return reasons.get(error.errno or 0, str(error))


def _loop_factory() -> Any:
    """The loop of uvloop, where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop
