"""What is described is what the server has; and both clients have the same of it."""

import inspect
from typing import Any

from boltq.client import (
    AsyncClient,
    AsyncJob,
    AsyncWorkflowRun,
    Client,
    Job,
    WorkflowRun,
    async_client,
    calls as described,
    client,
    talk,
)
from boltq.client.request import CALLS, Request
from boltq.client.workflows import calls as workflow_calls, talk as workflow_talk
from boltq.server.app import calls_of

NOT_FOR_CLIENTS = {
    "firstSubmit",  # the first version's words
    "firstStatus",
    "dryRunJob",  # a submission names the same mistakes, and there are no options that nobody knows
    "getJobLogFile",  # for downloads; `get_job_log` has the lines
    "overview",  # one page of the Playground; `counts`, `queues` and `workers` say it
    "health",  # for probes; `ready` says more
    "queueStats",  # listQueues and countJobs say it
    "listDeadLetters",  # the same as listJobs with the state dead
}


def test_every_call_of_the_server_is_described_and_no_other():
    """A new route needs a function in client/calls.py, or a reason in the list above."""
    there: Any = None  # no call is made
    theirs = {(call.method, call.path, call.id) for call in calls_of(there)}
    ours = {(route.method, route.path, route.id) for route in CALLS}
    assert {row for row in theirs if row[2] not in NOT_FOR_CLIENTS} == ours
    assert {row[2] for row in theirs} >= NOT_FOR_CLIENTS


def test_reading_may_be_repeated_and_what_changes_things_twice_may_not():
    repeated = {route.id for route in CALLS if route.repeat}
    assert {route.id for route in CALLS if route.method == "GET"} <= repeated
    assert repeated.isdisjoint({"replayJob", "retryJob", "runJobNow", "createKey", "bulk", "purgeQueue", "deleteJob"})
    assert repeated.isdisjoint({"rerunWorkflow", "deleteWorkflow"})
    assert {"submitJob", "submitJobs", "submitWorkflow", "signalWorkflow"} <= repeated


def test_every_described_call_is_used_by_the_clients():
    source = "".join(map(inspect.getsource, (client, async_client, talk, workflow_talk)))
    functions = {
        name
        for home in (described, workflow_calls)
        for name, value in vars(home).items()
        if hasattr(value, "__wrapped__")
    }
    assert {name for name in functions if f"calls.{name}" not in source} == set()


def test_both_clients_have_the_same_words():
    for one, other in ((Client, AsyncClient), (Job, AsyncJob), (WorkflowRun, AsyncWorkflowRun)):
        assert _words(one) == _words(other)


def _words(kind: type) -> dict[str, Any]:
    """Name -> how it is described, or its parameters."""
    found: dict[str, Any] = {}
    for name, value in vars(kind).items():
        if not name.startswith("_"):
            describe = vars(value).get("_describe") if hasattr(value, "__dict__") else None
            found[name] = describe or [*inspect.signature(getattr(kind, name)).parameters]
    return found


def test_names_are_quoted_in_the_path_and_nones_left_out_of_the_query():
    assert described.get_queue("a/b c?d").target == "/api/v1/queues/a%2Fb%20c%3Fd"
    page: Request[Any] = described.list_jobs(state=["dead", "cancelled"], type=None, limit=7)
    assert page.target == "/api/v1/jobs?state=dead&state=cancelled&limit=7"


def test_the_clients_are_loaded_when_they_are_asked_for():
    """The HTTP library takes its time; the errors and the words of the command line do not need it."""
    import subprocess
    import sys

    code = "import sys, boltq.client, boltq.client.errors, boltq.client.talk; print('httpx' in sys.modules)"
    code += "; boltq.client.Client; print('httpx' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True"]
