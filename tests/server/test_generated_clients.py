"""Clients that popular generators make of /openapi.json: none drops a call, all compile, and each submits a job."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from api_table import CALLS

TOOLS = Path(__file__).parents[2] / ".tools" / "generators"


@pytest.fixture(scope="module")
def described(http, tmp_path_factory) -> Path:
    """The description, as the API serves it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(http.get("/openapi.json").content)
    return folder


@pytest.fixture(scope="module")
def node(described: Path) -> Path:
    """The same folder, with the generators of TypeScript."""
    if not (TOOLS / "node_modules").is_dir():
        why = TOOLS / "unavailable"
        pytest.skip(why.read_text().strip() if why.exists() else "the generators are not fetched: make clients")
    (described / "node_modules").symlink_to(TOOLS / "node_modules", target_is_directory=True)
    return described


def run(folder: Path, *command: str | Path, seconds: float = 120) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def check(http, said: str, priority: str) -> None:
    """What a program printed of the job that it has submitted, and read again."""
    made = json.loads(said.strip().splitlines()[-1])
    assert made["created"] is True
    assert made["state"] == "queued"
    job = http.get(f"/api/v1/jobs/{made['id']}").json()
    assert (job["type"], job["data"], job["tags"]) == ("echo", {"message": "hello"}, ["made"])
    assert job["priority"] == priority


PYTHON = """
import json
import sys

from made_client import AuthenticatedClient
from made_client.api.jobs import dry_run_job, get_job, submit_job
from made_client.models import DryRunView, JobForm, JobFormData, JobFormPriorityType0, JobView, SubmittedView

client = AuthenticatedClient(base_url=sys.argv[1], token="of-nobody")
data = JobFormData()
data["message"] = "hello"
form = JobForm(type_="echo", data=data, priority=JobFormPriorityType0.HIGH, tags=["made"])
dry = dry_run_job.sync(client=client, body=form)
assert isinstance(dry, DryRunView) and dry.valid, dry
made = submit_job.sync(client=client, body=form)
assert isinstance(made, SubmittedView), made
job = get_job.sync(made.id, client=client)
assert isinstance(job, JobView), job
print(json.dumps({"id": made.id, "created": made.created, "state": str(job.state)}))
"""


def test_openapi_python_client(http, api, described):
    """Its warnings are what it drops: there must be none."""
    (described / "config.yml").write_text("post_hooks: []\n")
    made = described / "made_client"
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--path", "openapi.json"]
    said = run(
        described, *command, "--output-path", made, "--meta", "none", "--config", "config.yml", "--fail-on-warning"
    )
    assert "warning" not in said.lower(), said
    modules = [path.stem for path in (made / "api").glob("*/*.py") if path.stem != "__init__"]
    assert len(modules) == len(CALLS)
    program(described, "program.py", PYTHON)
    run(described, sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "program.py")
    check(http, run(described, sys.executable, "program.py", api), "high")


OPENAPI_TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[]; exitCode: number };

async function main() {
  const client = createClient<paths>({ baseUrl: process.argv[2] });
  const data_: Record<string, unknown> = { message: "hello" };
  const form: components["schemas"]["JobForm"] = { type: "echo", data: data_, priority: 0, tags: ["made"] };
  const dry = await client.POST("/api/v1/jobs/dry-run", { body: form });
  if (!dry.data?.valid) throw new Error(JSON.stringify(dry.error));
  const { data, error } = await client.POST("/api/v1/jobs", { body: form });
  if (error) throw new Error(error.detail);
  const id: string = data.id;
  const created: boolean = data.created;
  const warnings: string[] = data.warnings;
  const found = await client.GET("/api/v1/jobs/{id}", { params: { path: { id } } });
  if (found.error) throw new Error(found.error.detail);
  const steps = [{ job_type: "echo", params: { message: "hello" } }];
  const workflow = await client.POST("/api/v1/workflows", { body: { name: "made", steps } });
  if (workflow.error) throw new Error(workflow.error.detail);
  console.log(JSON.stringify({ id, created, warnings, state: found.data.state, steps: workflow.data.steps }));
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
"""

HEY_API = """
import { bulk, dryRunJob, getJob, listJobs, submitJob, submitWorkflow } from "./hey";
import { client } from "./hey/client.gen";

declare const process: { argv: string[]; exitCode: number };

async function main() {
  client.setConfig({ baseUrl: process.argv[2] });
  const form = { type: "echo", data: { message: "hello" }, priority: "low" as const, tags: ["made"] };
  const dry = await dryRunJob({ body: form, throwOnError: true });
  if (!dry.data.valid) throw new Error("it is not valid");
  const { data } = await submitJob({ body: form, throwOnError: true });
  const id: string = data.id;
  const created: boolean = data.created;
  const warnings: string[] = data.warnings;
  const job = await getJob({ path: { id }, throwOnError: true });
  const page = await listJobs({ query: { state: ["queued"], limit: 1 }, throwOnError: true });
  const count: number = page.data.items.length;
  const steps = [{ job_type: "echo", params: { message: "hello" } }];
  const workflow = await submitWorkflow({ body: { name: "made", steps }, throwOnError: true });
  const begun = await bulk({ body: { action: "cancel", target: { ids: [workflow.data.id] } }, throwOnError: true });
  console.log(JSON.stringify({ id, created, warnings, count, state: job.data.state, operation: begun.data.id }));
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
"""

TSC = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "node16", "--outDir", "out"]


def compiled(folder: Path, name: str) -> None:
    run(folder, "node_modules/.bin/tsc", *TSC, name)


def test_openapi_typescript(http, api, node):
    run(node, "node_modules/.bin/openapi-typescript", "openapi.json", "--output", "schema.d.ts")
    schema = (node / "schema.d.ts").read_text()
    assert all(f"    {call.id}: {{" in schema for call in CALLS)
    outside = [line for line in schema.splitlines() if "Record<string, never>" in line]
    assert [line for line in outside if not line.startswith("export type ")] == []
    program(node, "program.ts", OPENAPI_TYPESCRIPT)
    compiled(node, "program.ts")
    check(http, run(node, "node", "out/program.js", api), "low")


def test_hey_api(http, api, node):
    run(node, "node_modules/.bin/openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch")
    sdk = (node / "hey" / "sdk.gen.ts").read_text()
    assert all(f"export const {call.id} = " in sdk for call in CALLS)
    program(node, "hey_program.ts", HEY_API)
    compiled(node, "hey_program.ts")
    check(http, run(node, "node", "out/hey_program.js", api), "low")
