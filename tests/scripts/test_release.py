"""A release is rehearsed whole, and what it writes into the files is what it says."""

import datetime as dt
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load():
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = load()


def test_what_was_unreleased_becomes_the_versions_own():
    before = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n"
    assert release.released(before, "0.2.0", dt.date(2026, 2, 3)) == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-03\n\n### Added\n\n- A thing.\n\n"
        "## [0.1.0] - 2026-01-01\n\n- The first.\n"
    )


def test_a_changelog_that_says_nothing_is_refused():
    with pytest.raises(release.Refused, match="says nothing"):
        release.released(
            "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n", "0.2.0", dt.date(2026, 2, 3)
        )


@pytest.mark.parametrize("version", ["1", "v1.0.0", "1.0.0rc1", "1.0.0; ls", ""])
def test_a_version_of_another_form_is_refused(version):
    with pytest.raises(release.Refused, match="three numbers"):
        release.check(version)


def test_the_version_stands_in_each_file_that_has_it():
    assert 'version = "9.8.7"' in release.with_version((ROOT / "pyproject.toml").read_text(), "9.8.7")
    document = release.with_api_version((ROOT / "docs/reference/openapi.json").read_text(), "9.8.7")
    assert document.count('"version": "9.8.7"') == 1


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_rehearsal_makes_a_wheel_that_runs_a_job_and_changes_nothing():
    before = git("status", "--porcelain")
    program = [sys.executable, ROOT / "scripts/release.py", "91.92.93"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rehearsed: 91.92.93" in done.stdout
    assert git("status", "--porcelain") == before
    assert not git("tag", "--list", "v91*")


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
