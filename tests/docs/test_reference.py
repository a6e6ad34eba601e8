"""The site's reference of Python has each public method, also those that are made from others."""

import inspect
from pathlib import Path

import griffe
import pytest

from boltq import BoltQ, Job, Task, WorkflowRun

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package():
    extensions = griffe.load_extensions(ROOT / "scripts" / "griffe_in_sync.py")
    return griffe.load("boltq", search_paths=[ROOT / "src"], extensions=extensions)


@pytest.mark.parametrize("kind", [BoltQ, Job, Task, WorkflowRun])
def test_a_synchronous_method_is_shown_with_its_signature(kind, package):
    shown = package[kind.__module__.removeprefix("boltq.")][kind.__name__]
    names = [name for name, member in inspect.getmembers(kind, inspect.isfunction) if name.endswith("_sync")]
    for name in (name for name in names if not name.startswith("_")):
        method = shown.all_members[name]
        assert method.is_function, name
        assert [one.name for one in method.parameters] == list(inspect.signature(getattr(kind, name)).parameters), name
        assert method.docstring, name
