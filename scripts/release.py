"""Makes a release in a clone of this repository: version, changelog, wheel, a look at the wheel, commit and tag.

`make release VERSION=0.2.0` rehearses it: all of it happens, in a clone that is thrown away. With `CUT=1` the commit
and its tag come into this repository, and the archives into dist/; pushing them is left to you.
"""

import argparse
import datetime as dt
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

_TRIAL: Final = """\
import asyncio
from boltq import BoltQ, testing

app = BoltQ()


@app.task
async def add(a: int, b: int) -> int:
    return a + b


async def main() -> None:
    async with testing.inline(app) as inline:
        job = await add.submit(2, b=3)
        await inline.run_all()
        assert await job.result(timeout=5) == 5


asyncio.run(main())
"""
"""A job runs on the store that the wheel brings along."""


class Refused(Exception):
    """This cannot be released; the text says why."""


def main() -> int:
    """Rehearse, or cut with --cut; 1 when it is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="what it shall be called, as 0.2.0")
    parser.add_argument("--cut", action="store_true", help="bring the commit and its tag into this repository")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="boltq-release-") as folder:
            release(args.version, Path(folder), cut=args.cut)
    except Refused as reason:
        print(f"not released: {reason}", file=sys.stderr)
        return 1
    return 0


def release(version: str, folder: Path, *, cut: bool) -> None:
    """Do every step in a clone below `folder`. Raises Refused."""
    check(version)
    if cut and run("git", "status", "--porcelain", at=ROOT):
        raise Refused("there are changes that are not committed")
    clone = folder / "clone"
    say("clone")
    run("git", "clone", "--quiet", ROOT, clone)
    say("version and changelog")
    rewrite(clone / "pyproject.toml", lambda text: with_version(text, version))
    rewrite(clone / "docs/reference/openapi.json", lambda text: with_api_version(text, version))
    rewrite(clone / "CHANGELOG.md", lambda text: released(text, version, dt.datetime.now(dt.UTC).date()))
    say("wheel and source archive")
    run(sys.executable, "-m", "uv", "--quiet", "build", "--no-build-isolation", "--python", sys.executable, at=clone)
    wheel = next((clone / "dist").glob("boltq-*.whl"))
    say(f"try {wheel.name}")
    try_out(wheel, clone / "requirements/runtime.txt", folder / "venv", version)
    say("commit and tag")
    git = ["git", *identity(clone)]
    run(*git, "commit", "--quiet", "--all", "--message", f"Release {version}", at=clone)
    run(*git, "tag", "--annotate", f"v{version}", "--message", f"BoltQ {version}", at=clone)
    if cut:
        take_over(clone, version)
    else:
        print(f"rehearsed: {version} can be released; nothing was changed here")


def check(version: str) -> None:
    """A version of three numbers that is not used yet. Raises Refused."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise Refused(f"{version!r} is not a version of three numbers, such as 0.2.0")
    if run("git", "tag", "--list", f"v{version}", at=ROOT):
        raise Refused(f"there is a tag v{version} already")


def with_version(pyproject: str, version: str) -> str:
    """The same pyproject.toml, with another version."""
    return re.sub(r'(?m)^version = "[^"]+"$', f'version = "{version}"', pyproject, count=1)


def with_api_version(document: str, version: str) -> str:
    """The same openapi.json, with another version in its `info`."""
    return re.sub(r'(?m)^    "version": "[^"]+"', f'    "version": "{version}"', document, count=1)


def released(changelog: str, version: str, day: dt.date) -> str:
    """What was unreleased is now the version's own, below an empty one. Raises Refused when that is nothing."""
    found = re.search(r"(?ms)^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", changelog)
    if not found:
        raise Refused("CHANGELOG.md has no section [Unreleased]")
    if not re.search(r"(?m)^- ", found[1]):
        raise Refused("CHANGELOG.md says nothing below [Unreleased]")
    section = f"## [Unreleased]\n\n## [{version}] - {day.isoformat()}\n\n{found[1].strip()}\n\n"
    return (changelog[: found.start()] + section + changelog[found.end() :]).rstrip() + "\n"


def try_out(wheel: Path, requirements: Path, venv: Path, version: str) -> None:
    """Install it into an environment of its own, and run a job. Raises Refused."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    run(*uv, "venv", "--python", sys.executable, venv)
    python = venv / "bin/python"
    run(*uv, "pip", "install", "--python", python, "--require-hashes", "-r", requirements)
    run(*uv, "pip", "install", "--python", python, "--no-deps", wheel)
    said = run(venv / "bin/boltq", "--version", at=venv)
    if said != f"boltq {version}":
        raise Refused(f"the wheel says {said!r}")
    run(python, "-c", _TRIAL, at=venv)


def identity(clone: Path) -> list[str]:
    """Whose commit it is: yours; where git knows nobody, as on a fresh machine, a name for the rehearsal."""
    known = subprocess.run(["git", "config", "user.email"], cwd=clone, capture_output=True, check=False).stdout.strip()
    return [] if known else ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost"]


def take_over(clone: Path, version: str) -> None:
    """Bring commit, tag and archives into this repository."""
    run("git", "pull", "--quiet", "--ff-only", clone, "HEAD", at=ROOT)
    run("git", "fetch", "--quiet", clone, f"refs/tags/v{version}:refs/tags/v{version}", at=ROOT)
    shutil.copytree(clone / "dist", ROOT / "dist", dirs_exist_ok=True)
    print(f"released {version} here; to publish it: git push --follow-tags, then upload what is in dist/")


def rewrite(file: Path, change: Callable[[str], str]) -> None:
    """Replace what is in a file."""
    file.write_text(change(file.read_text()))


def run(*command: str | Path, at: Path | None = None) -> str:
    """What a command prints. Raises Refused when it fails."""
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(word) for word in command[:4])
        raise Refused(f"`{words} …` failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def say(step: str) -> None:
    """Tell how far it is."""
    print(f"- {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
