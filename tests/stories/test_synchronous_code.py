"""Submitting from code that knows nothing of asyncio."""

import asyncio
import inspect

import pytest

from boltq import Job, WorkflowRun


async def test_plain_code_submits_and_waits(boltq_app, worker):
    """Each call has a twin with `_sync` at its end; it may be made from any thread."""

    @boltq_app.task
    def greet(name: str) -> str:
        return f"hello {name}"

    def plain_program():
        job = greet.submit_sync("Ann")
        assert job.result_sync() == "hello Ann"
        assert job.record_sync().attempts == 1
        assert boltq_app.submit_sync("greet", {"name": "Bob"}).result_sync() == "hello Bob"
        both = boltq_app.submit_many_sync([greet.job("Cem"), greet.job("Dee")])
        return [job.result_sync() for job in both]

    async with worker():
        assert await asyncio.to_thread(plain_program) == ["hello Cem", "hello Dee"]


async def test_a_running_plain_function_may_submit(boltq_app, worker):
    """A task in a thread uses the synchronous calls like everyone else."""

    @boltq_app.task
    def child(n: int) -> int:
        return n + 1

    @boltq_app.task
    def parent(n: int) -> int:
        return child.submit_sync(n).result_sync() * 10

    async with worker():
        assert await (await parent.submit(1)).result() == 20


async def test_plain_code_cancels(boltq_app):
    """Also what it did not submit itself."""
    job = await boltq_app.submit("never")
    state = await asyncio.to_thread(boltq_app.job(job.id).cancel_sync, "not needed")
    assert state == "cancelled"
    assert (await job.record()).reason == "not needed"


async def test_a_synchronous_call_inside_of_the_applications_own_loop_is_refused(boltq_app):
    """It would wait for itself."""

    async def inner():
        boltq_app.submit_sync("x")

    with pytest.raises(RuntimeError, match="would wait for itself"):
        await asyncio.to_thread(boltq_app.run_sync, inner())


def test_a_synchronous_call_is_named_in_what_is_wrong_with_it(boltq_app):
    with pytest.raises(TypeError, match=r"WorkflowRun\.signal_sync\(\) missing 1 required .*'decision'"):
        boltq_app.workflow("x").signal_sync("ask")


def test_a_synchronous_call_is_none_of_asynchronous_code_for_whoever_unwraps_it():
    """As frameworks do, to find out whether they have to await what they call."""
    assert not inspect.iscoroutinefunction(inspect.unwrap(Job.record_sync))
    assert inspect.signature(WorkflowRun.signal_sync) == inspect.signature(WorkflowRun.signal)
