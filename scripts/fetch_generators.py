"""Fetch the generators of TypeScript clients that the tests run into .tools, from the lock file of tests/generators.

Where they cannot be had, ``.tools/generators/unavailable`` says why, and the tests that need them skip with that.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "generators"
PLACE = ROOT / ".tools" / "generators"
FILES = ("package.json", "package-lock.json", ".npmrc")
OLDEST_NODE = (20, 19)


class Unavailable(Exception):
    """This machine cannot have them; the text says why."""


def main() -> None:
    """Fetch what is missing, and say whether they are there."""
    print(f"{'clients':9} {provide()}", flush=True)


def provide() -> str:
    """Answer that the generators are there, or why not."""
    if all(_same(name) for name in FILES) and (PLACE / "node_modules").is_dir():
        return "their generators are there"
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    try:
        check_node()
        for name in FILES:
            shutil.copy(SOURCE / name, PLACE / name)
        run("npm", "ci", "--prefix", str(PLACE))
    except Unavailable as reason:
        shutil.rmtree(PLACE / "node_modules", ignore_errors=True)
        (PLACE / "unavailable").write_text(f"{reason}\n")
        return f"no generators: {reason}"
    return "their generators are there"


def check_node() -> None:
    """Raise Unavailable when there is no Node.js, or an old one."""
    version = run("node", "--version").strip().removeprefix("v")
    if tuple(map(int, version.split(".")[:2])) < OLDEST_NODE:
        raise Unavailable(f"Node.js {version} is older than {'.'.join(map(str, OLDEST_NODE))}")


def run(*command: str) -> str:
    """Run a command and answer its output; one that fails means that the generators are not to be had."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=PLACE)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is missing") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took longer than 300 s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines() or ["said nothing"]
        raise Unavailable(f"{command[0]} failed: {said[-1]}") from error
    return done.stdout


def _same(name: str) -> bool:
    there = PLACE / name
    return there.exists() and there.read_bytes() == (SOURCE / name).read_bytes()


if __name__ == "__main__":
    main()
