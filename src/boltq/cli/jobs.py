"""`boltq jobs`: lists jobs."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, count

if TYPE_CHECKING:
    from boltq.broker.inspector import Inspector, Page
    from boltq.domain.states import JobState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq jobs
  boltq jobs --state running
  boltq jobs --queue mail --type email --limit 100

Without --state: what runs and waits first, then the history."""
    parser.add_argument("--state", help="scheduled, queued, running, retrying, completed, dead or cancelled")
    parser.add_argument("--queue", help="of this queue only")
    parser.add_argument("--type", help="of this job type only")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    parser.add_argument("--cursor", help="go on where an earlier page ended")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    from boltq.cli import job_view, show
    from boltq.cli.session import Session, with_store
    from boltq.domain.errors import InvalidJob
    from boltq.domain.states import JobState

    if args.state is not None and args.state not in set(JobState):
        raise InvalidJob([("--state", f"no state {args.state!r}: one of {', '.join(JobState)}")])
    state = JobState(args.state) if args.state else None

    async def work(session: Session) -> int:
        page = await read(session.inspector, state, args)
        if args.json:
            from boltq.server import shapes

            show.document(shapes.PageView([shapes.summary(job) for job in page.jobs], page.cursor))
        else:
            job_view.list_jobs(page.jobs, await session.inspector.now_ms())
            if page.cursor:
                show.note(f"there are more: --cursor {page.cursor}")
        return 0

    return with_store(work)


async def read(inspector: "Inspector", state: "JobState | None", args: argparse.Namespace) -> "Page":
    """As many jobs as were asked for. The store lists by state and queue; types are chosen here."""
    from boltq.broker.inspector import Page

    page = Page([], args.cursor)
    while len(page.jobs) < args.limit:
        wanted = args.limit - len(page.jobs)
        found = await inspector.page(state, args.queue, cursor=page.cursor, limit=wanted)
        page.jobs += [job for job in found.jobs if args.type in {None, job.type}]
        page.cursor = found.cursor
        if not page.cursor:
            break
    return page
