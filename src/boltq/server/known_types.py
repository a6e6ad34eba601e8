"""The job types that workers have published, at hand for every submission: what they are, and whether data fit them."""

import asyncio
import itertools
import logging
from typing import Any, Final

import jsonschema_rs
import msgspec

from boltq.broker.inspector import Inspector, TaskInfo
from boltq.domain.errors import InvalidJob
from boltq.server.http.mistakes import MAX_MISTAKES, Mistakes
from boltq.server.http.problems import escaped
from boltq.server.one_reading import OneReading

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 1.0  # a type that is not known is looked for again after that


class PublishedType(msgspec.Struct, frozen=True):
    """A job type as workers have published it. `checkers`: one for each version that live workers have."""

    about: dict[str, Any]  # as it was published last
    checkers: tuple[jsonschema_rs.Validator, ...] = ()  # empty: any data will do


class PublishedTypes:
    """What is known of the job types. `refresh` is called every few seconds, so that nobody has to wait for it."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._types: dict[str, PublishedType] = {}
        self._releases: dict[str, dict[str, str]] = {}
        self._checkers: dict[tuple[str, str], jsonschema_rs.Validator | None] = {}  # of (type, JSON)
        self._read_at = -FRESH_SECONDS  # when the last reading began that has ended
        self._tried_at = -FRESH_SECONDS  # the same of one that may have failed
        self._reading = OneReading(self.refresh)

    def now(self) -> float:
        """The moment, for `asked`."""
        return asyncio.get_running_loop().time()

    def get(self, name: str) -> PublishedType | None:
        """A type that is known already."""
        return self._types.get(name)

    async def find(self, name: str) -> PublishedType | None:
        """A type; one that is not known yet is looked for, but not more often than every second."""
        found = self._types.get(name)
        if found is None and self._tried_at < (since := self.now() - FRESH_SECONDS):
            await self._look_since(since)
            found = self._types.get(name)
        return found

    async def check(
        self, name: str, values: dict[str, Any], *, strict: bool, at: str = "data", asked: float | None = None
    ) -> list[str]:
        """Warnings about a job of that type with these data. Raises InvalidJob with a pointer to each mistake.

        Data are good when a live worker has a version of the type that takes them; a type of which no live worker has a
        version takes any. What is known may be old, so before it refuses anything it looks again, unless it has since
        `asked`. `strict`: a type that no worker has published is refused. `at`: what the data are called.
        """
        published = await self.find(name)
        if published is None and not (strict and await self.is_known(name, strict=True, asked=asked)):
            if strict:
                raise InvalidJob([("/type", f"no worker has published the job type {name}")])
            return [f"no worker has published the job type {name}: the job waits for one that does"]
        if mistakes := await self.misfits(name, values, at, asked):
            raise InvalidJob(mistakes)
        return []

    async def is_known(self, name: str, *, strict: bool, asked: float | None) -> bool:
        """Whether a worker has published a type; it looks again before it says no to who is `strict`."""
        found = await self.find(name)
        if found is None and strict and await self._look_since(asked):
            found = self._types.get(name)
        return found is not None

    async def misfits(self, name: str, values: dict[str, Any], at: str, asked: float | None) -> Mistakes:
        """Every place where the data do not fit; empty when they do, or when the store cannot be asked."""
        found = self._misfits(name, values, at)
        if not found or not await self._look_since(asked):
            return []
        return self._misfits(name, values, at)

    def _misfits(self, name: str, values: dict[str, Any], at: str) -> Mistakes:
        published = self._types.get(name)
        first: Mistakes = []
        for checker in published.checkers if published else ():
            found = misfits(checker, values, at)
            if not found:
                return []
            first = first or found
        return first

    async def refresh(self) -> None:
        """Read the published types. Raises StoreError."""
        self._tried_at = begun = self.now()
        known = self._releases
        found = await self._inspector.published(known)
        self._releases = {
            release: known[release] if types is None else types for release, types in found.releases.items()
        }
        self._types = self._versions(found.types)
        self._read_at = begun

    def _versions(self, tasks: list[TaskInfo]) -> dict[str, PublishedType]:
        """Each type with what live workers check its data by; a schema is compiled once."""
        texts = {(name, text) for types in self._releases.values() for name, text in types.items()}
        self._checkers = {key: self._checkers[key] if key in self._checkers else _checker(*key) for key in texts}
        versions: dict[str, list[jsonschema_rs.Validator | None]] = {}
        last = {task.name: task.about for task in tasks}
        for (name, text), checker in self._checkers.items():
            place = 0 if msgspec.json.decode(text) == last.get(name) else len(versions.get(name, ()))
            versions.setdefault(name, []).insert(place, checker)
        return {name: PublishedType(about, _all_of(versions.get(name, []))) for name, about in last.items()}

    async def _look_since(self, asked: float | None) -> bool:
        """Have a reading that began at that moment (None: now) or later, one for all who wait; False: none was had."""
        moment = self.now() if asked is None else asked
        while self._read_at < moment:
            if not await self._reading.end():
                return False
        return True


def _all_of(checkers: list[jsonschema_rs.Validator | None]) -> tuple[jsonschema_rs.Validator, ...]:
    """None when one of them takes anything."""
    return tuple(checker for checker in checkers if checker) if all(checkers) else ()


def misfits(checker: jsonschema_rs.Validator, values: dict[str, Any], at: str = "data") -> Mistakes:
    """Every place where the data do not fit the schema; empty when they do."""
    if checker.is_valid(values):
        return []
    found = itertools.islice(checker.iter_errors(values), MAX_MISTAKES)
    return [mistake for error in found for mistake in _mistakes(error, at)][:MAX_MISTAKES]


_TRIVIAL: Final = {"type": "object", "additionalProperties": True}
_ABOUT_PEOPLE: Final = {"title", "description", "$schema"}  # keywords that check nothing
_REASON_CHARS: Final = 300


def _checker(name: str, about: str) -> jsonschema_rs.Validator | None:
    schema = msgspec.json.decode(about).get("schema")
    if not isinstance(schema, dict):
        return None
    if {key: value for key, value in schema.items() if key not in _ABOUT_PEOPLE}.items() <= _TRIVIAL.items():
        return None
    try:
        # A schema cannot make us fetch anything, and what is wrong with a value is said without the value.
        return jsonschema_rs.validator_for(schema, offline=True, mask="the value")
    except ValueError as error:
        log.warning("the schema of job type %s cannot be used, so its data are not checked: %s", name, error)
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
