"""Submitting, waiting, looking and acting over HTTP, as in process: through a real API, with a real worker."""

from datetime import UTC, datetime, timedelta

import pytest

from boltq import BoltQError, Conflict, InvalidJob, JobCancelled, JobFailed, JobState, NotFound, QueueFull, WaitTimeout
from boltq.client import AsyncClient, Client

ABSENT = "01M80000000000000000000000"


def test_a_job_is_submitted_and_its_result_comes_back(client: Client, working) -> None:
    with working():
        job = client.submit("echo", {"text": "hello", "big": 12345678901234567890})
        assert job.created
        assert job.result(timeout=30) == {"text": "hello", "big": 12345678901234567890}
        info = job.info()
    assert (info.state, info.data["text"], info.result["text"]) == (JobState.COMPLETED, "hello", "hello")
    assert info.created_at <= datetime.now(UTC) + timedelta(minutes=1)
    assert info.ended


@pytest.mark.parametrize("text", ["\ud800", "a\udcff"])
def test_half_a_character_is_refused_by_name(client: Client, text) -> None:
    """In a query and in a path, as in a body: by the API, and not by the encoder of addresses."""
    with pytest.raises(InvalidJob, match="/type: not UTF-8"):
        list(client.jobs(type=text))
    with pytest.raises(BoltQError, match="the path is not UTF-8"):
        client.job(text).info()


async def test_the_same_from_asynchronous_code(async_client: AsyncClient, working) -> None:
    with working():
        job = await async_client.submit("echo", {"n": 1})
        assert await job.result(timeout=30) == {"n": 1}
        many = await async_client.submit_many([async_client.job_of("echo", {"n": n}) for n in range(20)])
        assert [await one.result(timeout=30) for one in many] == [{"n": n} for n in range(20)]
        assert {summary.id async for summary in async_client.jobs(state="completed")} == {job.id, *(j.id for j in many)}


def test_all_options_reach_the_job(client: Client) -> None:
    job = client.submit(
        "report",
        {"month": "May"},
        queue="slow",
        priority="high",
        delay=timedelta(minutes=5),
        expires_in=3600,
        max_attempts=7,
        timeout=90,
        tags=["monthly"],
    )
    info = job.info()
    assert (info.state, info.queue, info.priority) == (JobState.SCHEDULED, "slow", "high")
    assert (info.max_attempts, info.timeout_seconds, info.tags) == (7, 90.0, ["monthly"])
    assert info.run_at
    assert info.expires_at
    assert info.run_at < info.expires_at
    moment = datetime(2100, 1, 31, 9, 30, tzinfo=UTC)
    assert client.submit("report", run_at=moment).info().run_at == moment


def test_the_same_key_is_the_same_job(client: Client) -> None:
    first, second = (client.submit("echo", {"n": 1}, idempotency_key="once") for _ in range(2))
    assert first.id == second.id
    assert (first.created, second.created) == (True, False)
    with pytest.raises(Conflict, match="idempotency key"):
        client.submit("echo", {"n": 2}, idempotency_key="once")


def test_what_is_wrong_is_said_before_anything_is_sent_and_by_the_server(client: Client) -> None:
    with pytest.raises(InvalidJob) as here:
        client.submit("no name", {}, priority="urgent")
    assert here.value.errors[0][0] == "/priority"
    job = client.job_of("echo")
    job.type = "no name"  # past our own check
    with pytest.raises(InvalidJob) as there:
        client.submit_job(job)
    assert [pointer for pointer, _ in there.value.errors] == ["/type"]
    with pytest.raises(InvalidJob, match="traceparent"):
        client.submit("echo", headers={"secret": "x"})
    with pytest.raises(InvalidJob, match="not JSON"):
        client.submit("echo", {"set": object()})


def test_a_dead_job_raises_what_it_died_of(client: Client, working) -> None:
    with working(), pytest.raises(JobFailed, match="DataError: bad luck") as dead:
        client.submit("spoil", {"text": "bad luck"}).result(timeout=30)
    assert getattr(dead.value.error, "category", None) == "data"


def test_a_cancelled_job_says_so(client: Client) -> None:
    job = client.submit("echo")
    assert job.cancel("sent twice").state is JobState.CANCELLED
    with pytest.raises(JobCancelled, match="sent twice"):
        job.result(timeout=5)
    assert job.replay().state is JobState.QUEUED


def test_waiting_ends_in_time_and_the_job_goes_on(client: Client) -> None:
    job = client.submit("echo")
    with pytest.raises(WaitTimeout, match="goes on"):
        job.result(timeout=0.3)
    with pytest.raises(WaitTimeout):
        job.result(timeout=0)
    assert job.info().state is JobState.QUEUED


def test_what_is_not_there_and_what_is_not_possible(client: Client) -> None:
    with pytest.raises(NotFound):
        client.job(ABSENT).info()
    with pytest.raises(NotFound):
        client.job(ABSENT).result(timeout=1)
    with pytest.raises(Conflict, match="queued"):
        client.submit("echo").run_now()
    assert client.submit("echo", delay=3600).run_now().state is JobState.QUEUED


def test_a_full_queue_refuses_at_once(client: Client) -> None:
    client.submit("echo")
    client.limit("default", 4)  # at least one for each partition
    with pytest.raises(QueueFull):
        client.submit_many([client.job_of("echo") for _ in range(20)])


def test_pages_follow_each_other_without_a_gap(client: Client) -> None:
    ids = {job.id for job in client.submit_many([client.job_of("echo", {"n": n}) for n in range(250)])}
    listed = [job.id for job in client.jobs(state=JobState.QUEUED)]
    assert len(listed) == 250
    assert set(listed) == ids
    assert [job.id for job in client.jobs(state="dead")] == []


def test_a_bad_job_of_a_batch_is_named_and_the_others_are_submitted(client: Client) -> None:
    jobs = [client.job_of("echo", {"n": n}) for n in range(1_500)]
    jobs[1_200].queue = "no name"
    with pytest.raises(InvalidJob, match="/jobs/1200/queue"):
        client.submit_many(jobs)
    assert sum(1 for _ in client.jobs(limit=200)) == 1_499


def test_queues_are_shown_paused_and_resumed(client: Client) -> None:
    client.submit("echo", queue="mail")
    assert client.pause("mail", "the provider is down").paused
    queue = client.queue("mail")
    assert (queue.state, queue.depth.queued) == ("paused", 1)
    assert queue.paused
    assert queue.paused.reason == "the provider is down"
    assert not client.resume("mail").paused
    assert [queue.name for queue in client.queues().items] == ["mail"]
    assert client.limit("mail", None).limit is None


def test_workers_and_job_types_are_shown(client: Client, working) -> None:
    with working():
        workers = client.workers().items
        assert [worker.state for worker in workers] == ["up"]
        assert client.worker(workers[0].id).queues == ["default", "mail"]
        assert client.job_type("echo").workers == 1
        assert {one.name for one in client.job_types().items} >= {"echo", "spoil"}
        assert client.drain(workers[0].id).state == "draining"
    assert client.ready().status == "ready"
