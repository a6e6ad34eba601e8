"""Every target of the Makefile that the documents name does what its name says."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import Program, clean_environment, running

ROOT = Path(__file__).parents[2]
OURS = Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()

pytestmark = [
    pytest.mark.skipif(not OURS, reason="make works with this checkout's own .venv, and the tests run in another one"),
    pytest.mark.skipif(not shutil.which("make"), reason="there is no make"),
]


def around(**more: str) -> dict[str, str]:
    """An environment without the words of the `make` that may run these tests."""
    known = clean_environment(**more)
    return {name: value for name, value in known.items() if name not in {"ARGS", "MFLAGS"} and name[:4] != "MAKE"}


def made(*words: str, dry: bool = False) -> str:
    """What `make` prints; `dry`: what it would do in a fresh clone."""
    command = ["make", "--no-print-directory", *(["-n", "-B"] if dry else []), *words]
    ran = subprocess.run(command, cwd=ROOT, env=around(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def at_work(target: str, data: Path, **environment: str) -> Iterator[Program]:
    """`make TARGET`, with its data elsewhere than in this checkout."""
    known = around(BOLTQ_DATA=str(data), BOLTQ_GRACE="1", API_PORT="0", **environment)
    with running(["make", "--no-print-directory", target], ROOT, known) as program:
        yield program


def test_init_and_deps_leave_what_is_needed_to_run():
    made("init", "deps")
    version = subprocess.run([ROOT / ".venv/bin/boltq", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("boltq ")


def test_in_a_fresh_clone_init_makes_the_environment_and_deps_fills_it():
    assert "scripts/venv" in made("init", dry=True)
    assert "requirements" not in made("init", dry=True)
    filled = made("deps", dry=True)
    assert "scripts/venv" in filled
    assert "-r requirements/runtime.txt" in filled
    assert "--editable ." in filled
    assert "requirements/dev.txt" not in filled  # what only development needs


def test_run_api_and_run_worker_carry_out_a_job(tmp_path: Path):
    with at_work("run-api", tmp_path) as api, at_work("run-worker", tmp_path) as worker:
        url = api.wait_for(r"listens on (http://\S+)").group(1)
        worker.wait_for(r"runs: echo")
        body = json.dumps({"type": "echo", "data": {"message": "Hello World"}}).encode()
        request = urllib.request.Request(f"{url}/api/v1/jobs", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            job = json.load(answer)["id"]
        with urllib.request.urlopen(f"{url}/api/v1/jobs/{job}?wait=30", timeout=60) as answer:
            assert json.load(answer)["result"] == {"message": "Hello World"}
        worker.interrupt()  # what Ctrl-C does
        api.interrupt()
        assert "Traceback" not in api.output + worker.output
    with at_work("run-api", tmp_path, ENVIRONMENT="staging") as api:
        assert api.wait() != 0
        assert "ENVIRONMENT=staging" in api.output


def test_test_runs_the_tests_that_are_named():
    printed = made("test", "ARGS=-q -n 0 tests/domain/test_ids.py")
    assert re.search(r"^\d+ passed in ", printed, re.MULTILINE), printed


def test_quick_check_and_night_are_made_of_the_same_steps():
    quick, check, night = (made(target, dry=True) for target in ("quick", "check", "night"))
    for lint in ("ruff check .", "ruff format --check .", "mypy src scripts tests/typing", "lint-imports"):
        assert lint in quick
        assert lint in check
        assert lint in night
    assert "not slow" in quick
    assert "--partitions 4 -m partitioned" in check
    everything = "pytest -n 3 --dist loadfile --no-loadscope-reorder"
    assert check.rstrip().splitlines()[-1].rstrip().endswith(everything)  # all of it, at the end
    assert '--night --partitions 4 -m "partitioned or any_partitions"' in night
    assert night.rstrip().splitlines()[-1].rstrip().endswith(f"{everything} --night")


def test_help_lists_every_target():
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^  make ([a-z-]+) ", made("help"), re.MULTILINE)) == targets
    assert {"init", "deps", "run-api", "run-worker", "test", "load", "quick", "night"} <= targets


def test_a_python_that_does_not_run_says_why(tmp_path: Path) -> None:
    """As the shims of pyenv do, for a version that is not chosen: they are there, and say what to do."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv", tmp_path / "scripts")
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    ran = subprocess.run(
        [tmp_path / "scripts" / "venv"], env=around(PYTHON=str(shim)), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        f"PYTHON={shim} is not a Python 3.11 or newer that runs: pyenv: python3.13: command not found\n"
    )
