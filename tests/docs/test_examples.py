"""Every program in examples/ runs as its first lines say, and prints what it should."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"

PRINTS = {
    "submit_and_wait": """\
2 + 3 = 5
the sum of 100 results: 9900
add is completed after 1 attempt
""",
    "retries": """\
flaky: worked at attempt 3 of 5
polite: served
when_ready: ready now - attempts: 1
charge: data - -5 is no amount
charge is dead
""",
    "progress_and_cancel": """\
imported 4 rows
progress 100%; row 4; logged: importing 4 rows
import_rows was stopped
crunch was stopped
""",
    "process_pool": """\
primes below 100,000: 9592
spin: timeout
""",
    "sync_code": """\
HELLO
['MANY', 'AT', 'ONCE']
BY NAME
scheduled
cancelled
""",
    "pipeline": """\
[{'city': 'Ghent', 'total': 13}, {'city': 'Lille', 'total': 4}]
fetch_data completed
process_data completed
email completed
sorry skipped
The most in Ghent.

city   total
Ghent  13
Lille  4
""",
    "approval": """\
Pay 10?
taken
{'text': 'paid 10, which Ann approved', 'failed': 1}
ask: rejected by Bob
""",
    "http_client": """\
5 apples: 15
1, 2 and 3 pears: [4, 8, 12]
a plum: there are no plums
an apple instead: 3
a basket: {'apples': 6, 'pears': 8}
later: scheduled then cancelled
tagged: ['price']
ten orders: 135
""",
    "worker_inside": "Hello, Ann\n",
}


def test_every_example_is_listed():
    programs = {path.stem for path in FOLDER.glob("*.py")}
    assert programs == set(PRINTS)
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert all(f"({program}.py)" in readme for program in programs)


@pytest.mark.parametrize("program", PRINTS)
def test_an_example_runs(program, surroundings, working, serving):
    beside = nullcontext() if program in {"pipeline", "worker_inside"} else working(FOLDER, f"{program}:app")
    with beside, serving() if program == "http_client" else nullcontext():
        command = [sys.executable, f"{program}.py"]
        done = subprocess.run(
            command, cwd=FOLDER, env=surroundings, capture_output=True, text=True, timeout=100, check=False
        )
    assert (done.returncode, done.stdout) == (0, PRINTS[program]), done.stderr
