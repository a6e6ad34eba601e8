"""A real HTTP server that answers as a test tells it to, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

HANG_UP = None  # instead of an answer


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Scripted:
    """What it will answer, in turn (status, headers, body), and what it was asked. The last answer is repeated."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[int, dict[str, str], Any] | None] = []
        self.asked: list[Asked] = []

    def says(self, *answers: tuple[int, dict[str, str], Any] | None) -> None:
        self.answers = list(answers)

    def next(self) -> tuple[int, dict[str, str], Any] | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append(Asked(self.command, self.path, headers, json.loads(body) if body else None))
            said = script.next()
            if said is HANG_UP:
                self.close_connection = True
                return
            status, more, content = said
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server wants

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    script = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def problem(status: int, kind: str, **members: Any) -> tuple[int, dict[str, str], Any]:
    """A problem document as the API sends it."""
    return status, {}, {"type": f"urn:boltq:problem:{kind}", "title": kind, "status": status, "detail": "so", **members}
