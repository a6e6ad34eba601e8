"""The built-in job types, one after the other: fetch a table, add it up, and mail what came out.

Run it:  python pipeline.py
"""

import asyncio
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from boltq import BoltQ, Settings, Worker, tasks

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


async def run_job(app, job_type, data):
    """Submit a job and wait for it."""
    job = await app.submit(job_type, data)
    return job, await job.result(timeout=60)


async def main(port, outbox):
    # fetch_data goes to public addresses only, unless a person opens others.
    app = BoltQ(settings=Settings.from_env(fetch_allow="127.0.0.1", fetch_ports=str(port), outbox=outbox))
    tasks.add_to(app)  # `boltq worker` without an application has them anyway
    async with app, working(app):
        fetch, table = await run_job(app, "fetch_data", {"url": f"http://127.0.0.1:{port}/sales.csv"})
        print(table["format"], table["rows"][0])

        operations = [
            {"op": "convert", "fields": {"amount": "number"}},
            {"op": "aggregate", "by": ["city"], "measures": [{"function": "sum", "field": "amount", "as": "total"}]},
            {"op": "sort", "by": "total", "descending": True},
        ]
        _, sums = await run_job(app, "process_data", {"from_job": fetch.id, "operations": operations})
        print(sums["rows"])

        body = "\n".join(f"{row['city']}: {row['total']}" for row in sums["rows"])
        data = {"to": "boss@example.com", "subject": "Sales", "body": body}
        send, sent = await run_job(app, "email", data)
        print("sent" if sent["sent"] else "not sent, but written:", sent["outbox"] == f"{send.id}.eml")
        return Path(outbox, sent["outbox"])


if __name__ == "__main__":
    with serving() as port, tempfile.TemporaryDirectory() as outbox:
        mail = asyncio.run(main(port, outbox))
        print(mail.read_text().split("\n\n")[1].strip())
