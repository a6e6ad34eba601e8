"""The job types that workers have published, at hand for every submission: what they are, and whether data fit them."""

import asyncio
import itertools
import logging
from typing import Any, Final

import jsonschema_rs
import msgspec

from boltq.broker.inspector import Inspector, TaskInfo
from boltq.domain.errors import InvalidJob, StoreError
from boltq.server.forms import MAX_MISTAKES, Mistakes
from boltq.server.problems import escaped

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 1.0  # a type that is not known is looked for again after that


class PublishedType(msgspec.Struct, frozen=True):
    """A job type as some worker has published it. `checker` None: any data will do."""

    about: dict[str, Any]
    checker: jsonschema_rs.Validator | None = None


class PublishedTypes:
    """What is known of the job types. `refresh` is called every few seconds, so that nobody has to wait for it."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._types: dict[str, PublishedType] = {}
        self._read_at = -FRESH_SECONDS
        self._reading: asyncio.Task[None] | None = None

    def get(self, name: str) -> PublishedType | None:
        """A type that is known already."""
        return self._types.get(name)

    async def find(self, name: str) -> PublishedType | None:
        """A type; one that is not known yet is looked for, but not more often than every second."""
        found = self._types.get(name)
        if found is None and asyncio.get_running_loop().time() - self._read_at >= FRESH_SECONDS:
            await self._shared_refresh()
            found = self._types.get(name)
        return found

    async def check(self, name: str, values: dict[str, Any], *, strict: bool, at: str = "data") -> list[str]:
        """Warnings about a job of that type with these data. Raises InvalidJob with a pointer to each mistake.

        `strict`: a type that no worker has published is refused. `at`: what the data are called where they stand.
        """
        published = await self.find(name)
        if published is None:
            if strict:
                raise InvalidJob([("/type", f"no worker has published the job type {name}")])
            return [f"no worker has published the job type {name}: the job waits for one that does"]
        if published.checker and (mistakes := misfits(published.checker, values, at)):
            raise InvalidJob(mistakes)
        return []

    async def refresh(self) -> None:
        """Read the published types. Raises StoreError."""
        tasks = await self._inspector.tasks()
        self._types = {task.name: self._published(task) for task in tasks}
        self._read_at = asyncio.get_running_loop().time()

    async def _shared_refresh(self) -> None:
        """One reading for all who wait; when the store does not answer, what was known before has to do."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self.refresh())
        try:
            await asyncio.shield(self._reading)
        except StoreError:
            self._read_at = asyncio.get_running_loop().time()

    def _published(self, task: TaskInfo) -> PublishedType:
        """The type; its schema is compiled again only when it has changed."""
        known = self._types.get(task.name)
        if known is not None and known.about == task.about:
            return known
        return PublishedType(task.about, _checker(task))


def misfits(checker: jsonschema_rs.Validator, values: dict[str, Any], at: str = "data") -> Mistakes:
    """Every place where the data do not fit the schema; empty when they do."""
    if checker.is_valid(values):
        return []
    found = itertools.islice(checker.iter_errors(values), MAX_MISTAKES)
    return [mistake for error in found for mistake in _mistakes(error, at)][:MAX_MISTAKES]


_TRIVIAL: Final = {"type": "object", "additionalProperties": True}
_ABOUT_PEOPLE: Final = {"title", "description", "$schema"}  # keywords that check nothing
_REASON_CHARS: Final = 300


def _checker(task: TaskInfo) -> jsonschema_rs.Validator | None:
    schema = task.about.get("schema")
    if not isinstance(schema, dict):
        return None
    if {key: value for key, value in schema.items() if key not in _ABOUT_PEOPLE}.items() <= _TRIVIAL.items():
        return None
    try:
        return jsonschema_rs.validator_for(schema, offline=True)  # a schema cannot make us fetch anything
    except ValueError as error:
        log.warning("the schema of job type %s cannot be used, so its data are not checked: %s", task.name, error)
        return None


def _mistakes(error: jsonschema_rs.ValidationError, root: str) -> Mistakes:
    """A complaint of the checker; about a key, at that key."""
    at = "".join(f"/{escaped(str(step))}" for step in (root, *error.instance_path))
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            return [(f"{at}/{escaped(name)}", "required")]
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            return [(f"{at}/{escaped(name)}", "not a parameter of this job type") for name in names]
        case _:
            return [(at, error.message[:_REASON_CHARS])]
