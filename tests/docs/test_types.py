"""The quickstart's programs pass strict type checkers: whoever starts with them starts without complaints."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_PYTHON = re.compile(
    r"^<!-- (file: (?P<name>\w+\.py)|run) -->\n```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

PYRIGHT = shutil.which("pyright")  # it needs Node: where it is, it is asked too


def programs(folder: Path) -> list[str]:
    """The names of the quickstart's programs, which are written into a folder."""
    text = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    names = []
    for number, found in enumerate(_PYTHON.finditer(text)):
        names.append(found["name"] or f"part{number}.py")
        with (folder / names[-1]).open("a", encoding="utf-8") as file:
            file.write(found["text"])
    return names


@pytest.mark.parametrize(
    "checker",
    [
        pytest.param([sys.executable, "-m", "mypy", "--strict", "--no-incremental"], id="mypy"),
        pytest.param(
            [str(PYRIGHT), "--pythonpath", sys.executable],
            id="pyright", marks=pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed"),
        ),
    ],
)  # fmt: skip
def test_the_quickstart_passes_a_type_checker(checker, tmp_path):
    names = programs(tmp_path)
    assert {"tasks.py"} < set(names)
    found = subprocess.run([*checker, *names], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
