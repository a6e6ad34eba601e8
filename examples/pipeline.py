"""A workflow of the built-in job types: fetch a table, add it up, and mail what came out.

Run it:  python pipeline.py
"""

import asyncio
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from boltq import BoltQ, Settings, Worker, Workflow, tasks

CSV = """\
city,amount
Ghent,3
Lille,4
Ghent,10
"""


class Page(BaseHTTPRequestHandler):
    """Stands for a site that has the table."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.end_headers()
        self.wfile.write(CSV.encode())

    def log_message(self, *words):
        """Says nothing."""


@contextmanager
def serving():
    """The port of a site on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_port
        site.shutdown()


@asynccontextmanager
async def working(app):
    """A worker beside the block."""
    worker = Worker(app, slots=2)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await worker.started.wait()
        yield worker
        worker.stop()


def sales(url):
    """The workflow. What a step uses of another one, it waits for."""
    flow = Workflow("sales", url=url)
    table = flow.step("fetch_data", url=flow.input["url"], numbers=True)
    sums = flow.step(
        "process_data",
        rows=table.result["rows"],
        operations=[
            {"op": "aggregate", "by": ["city"], "measures": [{"function": "sum", "field": "amount", "as": "total"}]},
            {"op": "sort", "by": "total", "descending": True},
        ],
    )
    mail = flow.step(
        "email",
        to="boss@example.com",
        subject=f"Sales in {sums.result['summary']['groups']} cities",
        body=f"The most in {sums.result['rows'][0]['city']}.",
        table=sums.result["rows"],
    )
    flow.on_failure.options(id="sorry").step(
        "email", to="ops@example.com", subject="No sales today", body=f"Look at {flow.id}"
    )
    flow.output({"rows": sums.result["rows"], "mail": mail.result["outbox"]})
    return flow


async def main(port, outbox):
    # fetch_data goes to public addresses only, unless a person opens others.
    app = BoltQ(settings=Settings.from_env(fetch_allow="127.0.0.1", fetch_ports=str(port), outbox=outbox))
    tasks.add_to(app)  # `boltq worker` without an application has them anyway
    async with app, working(app):
        run = await app.submit_workflow(sales(f"http://127.0.0.1:{port}/sales.csv"))
        found = await run.result(timeout=60)
        print(found["rows"])
        for step in (await run.record()).steps:
            print(step.id, step.state)
        return Path(outbox, found["mail"])  # no mail server is set, so it was written to a file


if __name__ == "__main__":
    with serving() as port, tempfile.TemporaryDirectory() as outbox:
        mail = asyncio.run(main(port, outbox))
        print(mail.read_text().split("\n\n", 1)[1].strip())
