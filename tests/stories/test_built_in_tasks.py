"""The built-in job types at work, on a real store: a table is fetched, made smaller, and sent to somebody."""

import asyncio
import json
import urllib.request
from contextlib import asynccontextmanager

import pytest
from built_in import OPERATIONS, read_mail, surroundings, with_tasks
from sites import answer, running_site
from waiting import eventually

from boltq import JobFailed, JobState
from boltq.server.serve import serve


async def test_a_table_is_fetched_processed_and_sent(boltq_app, worker):
    """By hand: each job is given the result of the one before."""
    async with surroundings(boltq_app, worker) as (app, url, mails):
        fetch = await app.submit("fetch_data", {"url": f"{url}/data.csv", "numbers": True})
        await fetch.result(60)
        process = await app.submit("process_data", {"from_job": fetch.id, "operations": OPERATIONS})
        table = await process.result(60)
        body = "\n".join(f"{row['city']}: {row['total']}" for row in table["rows"])
        send = await app.submit("email", {"to": "boss@example.com", "subject": "Sales", "body": body})
        sent = await send.result(60)

    assert table == {
        "rows": [{"city": "Ghent", "total": 13}, {"city": "Lille", "total": 4}],
        "count": 2,
        "summary": {"rows": 3, "groups": 2},
    }
    assert sent == {"sent": True, "message_id": f"<{send.id}@example.com>", "recipients": 1, "refused": {}}
    assert mails[0].get_content().split() == ["Ghent:", "13", "Lille:", "4"]


async def test_rows_of_two_jobs_are_joined(boltq_app, worker):
    app = with_tasks(boltq_app)
    async with app, worker(app):
        towns = await app.submit("echo", {"rows": [{"city": "Ghent", "people": 265}]})
        sales = await app.submit("echo", {"json": [{"city": "Ghent", "amount": 3}, {"city": "Lille", "amount": 4}]})
        await towns.result(60)
        await sales.result(60)
        data = {"from_job": sales.id, "operations": [{"op": "join", "on": "city", "from_job": towns.id}]}
        found = await (await app.submit("process_data", data)).result(60)
    assert found == {"rows": [{"city": "Ghent", "amount": 3, "people": 265}], "count": 1}


async def test_a_job_without_rows_is_named(boltq_app, worker):
    """One that is not there, one that has failed, one whose result is something else, one that has not ended."""
    app = with_tasks(boltq_app)
    async with app, worker(app):
        other = await app.submit("echo", {"message": "no rows"})
        await other.result(60)
        dead = await app.submit("fetch_data", {"url": "http://127.0.0.1/"})
        with pytest.raises(JobFailed, match="may not reach"):
            await dead.result(60)
        for job_id, reason in (
            ("01JDABC7K2M3N4P5Q6R7S8T900", "there is no such job"),
            ("nonsense", "there is no such job"),
            (dead.id, "is dead, so it has no result"),
            (other.id, "has no rows"),
        ):
            job = await app.submit("process_data", {"from_job": job_id})
            with pytest.raises(JobFailed, match=f"from_job: .*{reason}") as caught:
                await job.result(60)
            assert caught.value.error.category == "data"

        late = await app.submit("echo", {"rows": []}, delay=3_600)
        early = await app.submit("process_data", {"from_job": late.id}, max_attempts=1)
        with pytest.raises(JobFailed, match="is scheduled, its result is not there yet") as caught:
            await early.result(60)
        assert caught.value.error.category == "transient"


async def test_a_table_that_is_too_large_for_a_result_is_refused(boltq_app, worker):
    """1 MiB of CSV is more as JSON, where each row repeats the names."""
    async with running_site() as site:
        site.pages["/"] = answer(b"a_name_that_is_long,another\n" + b"1,2\n" * 50_000, content_type="text/csv")
        app = with_tasks(boltq_app, fetch_allow="127.0.0.1", fetch_ports=str(site.port))
        async with app, worker(app):
            job = await app.submit("fetch_data", {"url": site.url})
            with pytest.raises(JobFailed, match=r"the result has \d+ bytes; at most"):
                await job.result(60)


async def test_a_fetch_that_fails_for_a_while_is_retried(boltq_app, worker):
    async with running_site() as site:
        pages = [answer(b"", "503 Service Unavailable", retry_after="0"), answer(b"here")]

        async def next_page(writer):
            writer.write(pages.pop(0))
            await writer.drain()

        site.pages["/"] = next_page
        app = with_tasks(boltq_app, fetch_allow="127.0.0.1", fetch_ports=str(site.port))
        async with app, worker(app):
            job = await app.submit("fetch_data", {"url": site.url})
            assert (await job.result(60))["text"] == "here"
            assert (await job.record()).attempts == 2


async def test_the_first_versions_mail_goes_to_the_outbox(boltq_app, worker, tmp_path):
    """What the first README tells users to type, through `POST /submit`, on a system where nothing is set."""
    typed = {
        "type": "email",
        "payload": {
            "recipient": "user@example.com",
            "subject": "Hello from BoltQ",
            "body": "This is a test email from BoltQ",
        },
    }
    app = with_tasks(boltq_app, outbox=str(tmp_path / "outbox"), api_port=0)
    async with app, worker(app), running_api(app.settings) as url:
        job_id = await asyncio.to_thread(post, f"{url}/submit", typed)
        record = await app.job(job_id).record()
        result = await app.job(job_id).result(60)
        record = await app.job(job_id).record()
    assert record.state is JobState.COMPLETED
    assert result == {"sent": False, "outbox": f"{job_id}.eml", "message_id": f"<{job_id}@localhost>", "recipients": 1}
    assert any("not sent" in line for line in record.log)
    message = read_mail((tmp_path / "outbox" / f"{job_id}.eml").read_bytes())
    assert (message["To"], message["Subject"]) == ("user@example.com", "Hello from BoltQ")
    assert message.get_content().strip() == "This is a test email from BoltQ"


@asynccontextmanager
async def running_api(settings):
    lines: list[str] = []
    api = asyncio.create_task(serve(settings, settings.redis_addr, announce=lines.append))
    try:
        await eventually(lambda: lines or api.done())
        assert lines, api.exception()
        yield lines[0].rsplit(" ", 1)[1]
    finally:
        api.cancel()
        await asyncio.wait({api})


def post(url: str, data: dict) -> str:
    """The id of the job that was submitted."""
    request = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as found:
        return json.load(found)["id"]
