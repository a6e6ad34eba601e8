"""What the tests themselves stand on: the index of tests/support, and the order of files."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SUPPORT = TESTS / "support"


def test_the_index_names_each_file_once():
    named = re.findall(r"^\| `(\S+)` \| \S", (SUPPORT / "README.md").read_text("utf-8"), re.MULTILINE)
    there = [path.relative_to(SUPPORT).as_posix() for path in SUPPORT.rglob("*.py")]
    assert sorted(named) == sorted(there)


def test_the_files_that_go_first_are_there(request: pytest.FixtureRequest):
    conftest = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    assert [file for file in conftest.LONGEST_FILES if not (TESTS / file).is_file()] == []
