"""found.md: each fault that was found from outside is there, with tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBERS = range(1, 38)

ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
NODE = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)(?:\[.*?\])?`")
TABLE = {
    int(number): (wrong, tests) for number, wrong, tests in ROW.findall((ROOT / "tests/faults/found.md").read_text())
}


def test_each_number_is_there_once_and_in_order():
    numbers = [int(row[0]) for row in ROW.findall((ROOT / "tests/faults/found.md").read_text())]
    assert numbers == list(NUMBERS)


def test_no_line_of_the_table_is_overlooked():
    lines = [line for line in (ROOT / "tests/faults/found.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) == len(NUMBERS) + 2  # the head, and the line below it


@pytest.mark.parametrize("number", NUMBERS)
def test_its_tests_exist(number):
    wrong, tests = TABLE[number]
    assert wrong.strip()
    nodes = NODE.findall(tests)
    assert nodes, f"no test named as `tests/file.py::test_name` in {tests!r}"
    assert NODE.sub("", tests).strip(" ,") == "", "only names of tests, with commas between"
    for file, name in nodes:
        assert name in named_in(ROOT / file), f"{file} has no {name}"


def test_a_file_with_tests_is_read_as_pytest_does():
    found = named_in(Path(__file__))
    assert {"test_its_tests_exist", "test_each_number_is_there_once_and_in_order"} <= found
    assert "named_in" not in found
    assert "TestBytes::test_the_stream_is_bounded_by_bytes" in named_in(ROOT / "tests/broker/test_events.py")
    assert named_in(ROOT / "tests/support/model/machine.py") == set()  # pytest does not look there
    assert named_in(ROOT / "tests/nowhere/test_x.py") == set()


def named_in(file: Path) -> set[str]:
    """The tests that pytest finds in a file: `test_x` and `TestX::test_x`."""
    if not re.fullmatch(r"test_\w+\.py|\w+_test\.py", file.name) or not file.exists():
        return set()
    return set(_named(ast.parse(file.read_text()).body, ""))


def _named(body: list[ast.stmt], before: str) -> list[str]:
    names = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            names.append(before + node.name)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            names += _named(node.body, f"{before}{node.name}::")
    return names
