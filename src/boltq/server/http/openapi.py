"""The API's description as an OpenAPI 3.1 document, made from the table of calls and from their structs."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any, Final

import msgspec

from boltq.domain import limits
from boltq.domain.scopes import Scope
from boltq.domain.workflow.bounds import STEP_ID
from boltq.server.http.calls import ApiCall
from boltq.server.http.examples import JOB, VALUES, example_of
from boltq.server.http.guard import SAFE_METHODS
from boltq.server.http.problems import KINDS, RETRY_AFTER
from boltq.server.http.query import NoQuery

Json = dict[str, Any]

ABOUT: Final = """\
BoltQ is a distributed task queue on Valkey and Redis.

**Who may call.** A server on loopback asks nobody who they are. Any other wants `Authorization: Bearer <key>`; each
call says the scope that the key must have (`x-scope`).

**When it says no**, the answer is a problem document (RFC 9457, `application/problem+json`). Its `type` ends with the
kind of the problem; `errors` has a JSON pointer and a reason for each mistake; `request_id` finds it in the log.

**Every answer** has `X-Request-Id`, which is the request's own where it has a fit one, and `X-Server-Time`.

**Lists** answer `items` and `next_cursor`: give the cursor back for the next page, null is the end. Clients pass over
fields that they do not know; the server refuses them.
"""

TAGS: Final = {
    "jobs": "Submit jobs, find them, see what became of them, and act on them.",
    "workflows": "Submit steps that depend on each other, see how they stand, and act on them.",
    "queues": "How many jobs stand where; pause and resume.",
    "workers": "Who serves the queues; drain and stop.",
    "job types": "What workers can do, and which data it takes.",
    "dead letters": "Jobs that failed for good, grouped by what went wrong.",
    "bulk": "The same done to many jobs, in the background.",
    "keys": "API keys and what they may do.",
    "system": "The server itself: its health, its store, its audit log.",
    "first version": "The first version's two calls, kept for whoever uses them.",
}
"""What each group of calls is about, in the order in which they are shown."""

EXAMPLES: Final[Mapping[str, Any]] = {
    "submitJob": {"type": "echo", "data": {"message": "Hello World"}, "priority": "high", "delay_seconds": 0},
    "dryRunJob": {"type": "echo", "data": {"message": "Hello World"}, "queue": "default"},
    "submitJobs": {"jobs": [{"type": "echo", "data": {"n": 1}}, {"type": "echo", "data": {"n": 2}}]},
    "firstSubmit": {"type": "email", "payload": {"recipient": "user@example.com", "subject": "Hello"}},
    "editJob": {"priority": "high", "reason": "the customer waits for it"},
    "cancelJob": {"reason": "no longer needed"},
    "replayJob": {"data": {"message": "Hello again"}},
    "submitWorkflow": {
        "name": "Data Processing Pipeline",
        "steps": [
            {"job_type": "fetch_data", "params": {"url": "https://example.com/data.csv"}},
            {"job_type": "process_data", "params": {"operation": "transform"}, "depends_on": ["step-1"]},
        ],
    },
    "dryRunWorkflow": {"name": "one step", "steps": [{"job_type": "echo", "params": {"message": "Hello"}}]},
    "cancelWorkflow": {"reason": "no longer needed"},
    "rerunWorkflow": {"mode": "failed_only"},
    "signalWorkflow": {"decision": "approve", "data": {"comment": "fine"}},
    "limitQueue": {"max_depth": 100_000},
    "pauseQueue": {"reason": "the mail server is down"},
    "purgeQueue": {"states": ["scheduled"], "confirm": "default"},
    "bulk": {"action": "replay", "target": {"filter": {"state": ["dead"]}}, "expect_count": 3},
    "previewBulk": {"action": "replay", "target": {"filter": {"state": ["dead"]}}},
    "retryJob": {"reason": "the mail server is up again"},
    "runJobNow": {"reason": "the customer waits for it"},
    "pauseWorkflow": {"reason": "the numbers look wrong"},
    "resumeWorkflow": {"reason": "the numbers are right"},
    "resumeQueue": {"reason": "the mail server is up again"},
    "drainWorker": {"reason": "its machine is replaced"},
    "resumeWorker": {"reason": "its machine stays"},
    "stopWorker": {"reason": "its machine is replaced"},
    "stopOperation": {"reason": "it was the wrong filter"},
    "continueOperation": {"reason": "the first ones went well"},
    "createKey": {"name": "billing", "scopes": ["submit:invoices", "read"]},
}
"""A body for each call that has one, by operation id."""


def document(calls: Sequence[ApiCall]) -> Json:
    """The whole document."""
    schemas = _Schemas(calls)
    paths: Json = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, schemas)
    used = {call.tag for call in calls}
    known = {tag: about for tag, about in TAGS.items() if tag in used}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BoltQ",
            "version": metadata.version("boltq"),
            "summary": "A distributed task queue",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "where this document comes from"}],
        "tags": [{"name": tag, "description": about} for tag, about in known.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(_refusals(calls).items())),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "an API key"}},
        },
    }


def kinds_of(call: ApiCall) -> list[str]:
    """Every kind of problem that a call may answer, in the order of problems.KINDS."""
    return [kind for kind in KINDS if kind in {*call.problems, *_common(call)}]


def _operation(call: ApiCall, schemas: "_Schemas") -> Json:
    more: Json = {"requestBody": _body(call, schemas)} if call.body else {}
    if call.scope:
        more |= {"security": [{"bearer": []}, {}], "x-scope": str(call.scope)}
    return {
        "operationId": call.id,
        "summary": _sentence(call.about),
        "description": inspect.getdoc(call.endpoint or call.body) or _sentence(call.about),
        "tags": [call.tag],
        "parameters": [*_in_path(call), *schemas.parameters(call), *_in_headers(call)],
        **more,
        "responses": _answers(call, schemas) | _references(call),
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# What goes in


def _in_path(call: ApiCall) -> Iterator[Json]:
    for piece in call.path.split("/"):
        if piece.startswith("{"):
            name = piece.strip("{}")
            schema = _path_schema(call.path, name)
            yield {"name": name, "in": "path", "required": True, "schema": schema, "example": _example(call.path, name)}


def _example(path: str, name: str) -> str:
    if any(f"/{thing}/{{{name}}}" in path for thing in ("jobs", "workflows")):
        return JOB
    things = {"operations": f"op_{JOB}", "workers": "web-1-4711-9f3a", "signals": "approve", "job-types": "echo"}
    return next(
        (one for thing, one in things.items() if f"/{thing}/{{{name}}}" in path), str(VALUES.get(name, "default"))
    )


def _path_schema(path: str, name: str) -> Json:
    if f"/jobs/{{{name}}}" in path:
        return {"type": "string", "pattern": f"^{limits.ID.pattern}$", "description": "the job's id"}
    if f"/workflows/{{{name}}}" in path:
        return {"type": "string", "pattern": f"^{limits.ID.pattern}$", "description": "the workflow's id"}
    if f"/signals/{{{name}}}" in path:
        return {"type": "string", "pattern": f"^{STEP_ID.pattern}$", "description": "the step's id"}
    if f"/queues/{{{name}}}" in path or f"/job-types/{{{name}}}" in path:
        return {"type": "string", "pattern": f"^{limits.NAME.pattern}$", "description": limits.NAME_RULE}
    return {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/]+$"}


def _in_headers(call: ApiCall) -> Iterator[Json]:
    if "idempotency_key" in getattr(call.body, "__struct_fields__", ()):
        yield {"$ref": "#/components/parameters/Idempotency-Key"}
    if call.method not in SAFE_METHODS and call.scope in _TOLD_WHY:
        yield {"$ref": "#/components/parameters/X-BoltQ-Reason"}
    yield {"$ref": "#/components/parameters/X-Request-Id"}


def _body(call: ApiCall, schemas: "_Schemas") -> Json:
    required = bool(getattr(call.body, "__struct_config__", None) and _has_required(call.body))
    content = {"schema": schemas.of(call.body), "example": EXAMPLES[call.id]}
    return {"required": required, "content": {"application/json": content}}


def _has_required(struct: Any) -> bool:
    return any(field.required for field in msgspec.structs.fields(struct))


# What comes out


def _answers(call: ApiCall, schemas: "_Schemas") -> Json:
    return {str(status): _answer(call, status, _each(kinds), schemas) for status, kinds in call.answers.items()}


def _answer(call: ApiCall, status: int, kinds: Sequence[Any], schemas: "_Schemas") -> Json:
    headers = dict(_STAMPS)
    if call.scope is Scope.SUBMIT and status in _WITH_LOCATION:
        headers["Location"] = {"$ref": "#/components/headers/Location"}
    answer: Json = {"description": HTTPStatus(status).phrase, "headers": headers}
    structs = [schemas.of(kind) for kind in kinds if kind is not str]
    content: Json = {}
    if structs:
        schema = {"anyOf": structs} if len(structs) > 1 else structs[0]
        content["application/json"] = {"schema": schema, "example": example_of(structs[0], schemas.components)}
    if str in kinds:
        content["text/plain"] = {"schema": {"type": "string"}, "example": "2,117 rows are done\n"}
    return answer | ({"content": content} if content else {})


def _references(call: ApiCall) -> Json:
    """The call's refusals: those of one status are one response."""
    names = {str(status): _refusal_name(kinds) for status, kinds in _by_status(call).items()}
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in names.items()}


def _refusals(calls: Sequence[ApiCall]) -> Json:
    groups = {(status, tuple(kinds)) for call in calls for status, kinds in _by_status(call).items()}
    return {_refusal_name(kinds): _refusal(status, kinds) for status, kinds in groups}


def _by_status(call: ApiCall) -> dict[int, list[str]]:
    by_status: dict[int, list[str]] = {}
    for kind in kinds_of(call):
        by_status.setdefault(KINDS[kind][0], []).append(kind)
    return by_status


def _refusal_name(kinds: Sequence[str]) -> str:
    return ".".join(kinds)


def _refusal(status: int, kinds: Sequence[str]) -> Json:
    types = [f"urn:boltq:problem:{kind}" for kind in kinds]
    headers = dict(_STAMPS)
    if any(kind in RETRY_AFTER for kind in kinds):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    properties = {"type": {"enum": types}, "status": {"const": status}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}], "properties": properties}
    example = {"type": types[0], "title": KINDS[kinds[0]][1], "status": status, "detail": "…"}
    return {
        "description": "; or: ".join(f"{KINDS[kind][1]} (`{kind}`)" for kind in kinds),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema, "example": example}},
    }


def _common(call: ApiCall) -> Iterator[str]:
    """The kinds that need not be listed with each call."""
    yield from ("bad-request", "unauthorized", "wrong-host", "head-too-large")
    yield from ("too-many-failures", "too-many-connections", "internal", "store-unavailable")
    yield "unknown-coding"
    if call.scope:
        yield from ("forbidden", "store-unfit")
    if call.method not in SAFE_METHODS:
        yield from ("cross-site", "not-json")
    if call.body:
        yield from ("malformed-json", "too-large", "invalid", "packed", "too-many-bodies")
    if call.query:
        yield "invalid"
    if "{" in call.path:
        yield from ("not-found", "invalid")


class _Schemas:
    """The structs of all calls as schemas: the bodies and answers by name, the queries as parameters."""

    def __init__(self, calls: Sequence[ApiCall]) -> None:
        answers = {kind for call in calls for answer in call.answers.values() for kind in _each(answer)}
        kinds = {kind for call in calls for kind in (call.query, call.body) if kind} | answers
        ordered = sorted(kinds, key=repr)
        found, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
        self._found = dict(zip(ordered, found, strict=True))
        queries = {call.query for call in calls if call.query}
        self._queries = {query: components.pop(_name(self._found[query])) for query in queries}
        plain: Json = {name: _plain(schema) for name, schema in components.items()}
        taken = _reached([self._found[call.body] for call in calls if call.body], plain)
        terse = _terse(ordered)
        for name, schema in plain.items():
            if "description" in schema:  # a docstring, whose lines Python itself unindents from 3.13 on
                schema["description"] = inspect.cleandoc(schema["description"])
            if name in taken:
                _take_in(schema)
            else:
                _give_out(schema, terse=name in terse)
        for kind in {call.body for call in calls if call.body}:
            for name in getattr(kind, "APART", ()):
                del plain[_name(self._found[kind])]["properties"][name]
        self.components = plain | _PROBLEM

    def of(self, kind: Any) -> Json:
        """The schema of a body or an answer."""
        schema: Json = _plain(self._found[kind])
        return schema

    def parameters(self, call: ApiCall) -> Iterator[Json]:
        """The parameters that a call's query struct makes."""
        query = self._queries[call.query or NoQuery] if call.query else {"properties": {}}
        for name, schema in query["properties"].items():
            if name in getattr(call.query, "APART", ()):
                continue
            yield _parameter(name, _plain(schema), required=name in query["required"])


def _reached(schemas: Any, components: Json) -> set[str]:
    """The names of all components that these schemas lead to."""
    found: set[str] = set()
    waiting = [schemas]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and "$ref" in node and (name := _name(node)) not in found:
            found.add(name)
            waiting.append(components[name])
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found


def _terse(kinds: Sequence[Any]) -> set[str]:
    """The names of all structs among these types, and within them, that leave out what has its default."""
    found: set[str] = set()
    seen: set[Any] = set()
    waiting: list[Any] = list(msgspec.inspect.multi_type_info(kinds))
    while waiting:
        node = waiting.pop()
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls in seen:
                continue
            seen.add(node.cls)
            if node.cls.__struct_config__.omit_defaults:
                found.add(node.cls.__name__)
        for name in getattr(node, "__struct_fields__", ()):
            part = getattr(node, name)
            waiting += part if isinstance(part, tuple) else [part]
    return found


def _take_in(schema: Json) -> None:
    """Say what a left out field means in words: some generators demand each field that has a default."""
    for about in schema.get("properties", {}).values():
        default = about.pop("default", None)
        if default not in (None, [], {}):
            about["description"] = f"{about.get('description', '')}; left out: {default}".removeprefix("; ")


def _give_out(schema: Json, *, terse: bool) -> None:
    """Say that a field is always there, as those with a default are, unless the struct is terse."""
    for name, about in schema.get("properties", {}).items():
        if about.pop("default", schema) is not schema and not terse and name not in schema["required"]:
            schema["required"].append(name)


def _each(answer: Any) -> tuple[Any, ...]:
    """The types that an answer may have: structs, or str for text."""
    return answer if isinstance(answer, tuple) else (answer,) if answer else ()


def _name(reference: Json) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _parameter(name: str, schema: Json, *, required: bool) -> Json:
    """A parameter of a query. It is never null: it is left out."""
    if schema.get("default", ()) is None:
        del schema["default"]
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    if choices:
        schema = choices[0] | schema if len(choices) == 1 else {"anyOf": choices} | schema
    if required and schema.get("type") == "string" and "pattern" not in schema:
        schema["minLength"] = 1  # an empty one counts as not given
    about = {"description": schema.pop("description")} if "description" in schema else {}
    lists = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
    empty = {} if required else {"allowEmptyValue": True}  # it counts as not given
    return {"name": name, "in": "query", "required": required, **about, **empty, **lists, "schema": schema}


def _plain(schema: Any) -> Any:
    """A schema without what says nothing: an integer is a number, and titles repeat names."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if {"type": "number"} in plain.get("anyOf", ()) and {"type": "integer"} in plain["anyOf"]:
        plain["anyOf"].remove({"type": "integer"})
    if len(plain.get("anyOf", ())) == 1:
        plain |= plain.pop("anyOf")[0]
    if plain.get("type") == "object" and not plain.keys() & {"properties", "additionalProperties"}:
        plain["additionalProperties"] = True  # without it, some generators take it for an object without keys
    return _spread(plain) if "anyOf" in plain else plain


def _spread(schema: Json) -> Json:
    """A choice, with each keyword at the types that it is about: generators lose what mixes them."""
    shared = {key: value for key, value in schema.items() if key not in _ABOUT}
    given = {key: value for key, value in schema.items() if key in _ABOUT}
    choices = [_narrowed(choice, given) for choice in schema["anyOf"]]
    shared["anyOf"] = sorted(choices, key=lambda choice: choice.get("type") != "string") if "enum" in given else choices
    return shared


def _narrowed(choice: Json, given: Json) -> Json:
    kind = choice.get("type")
    own = {key: value for key, value in given.items() if kind in _ABOUT[key]}
    if "enum" in own:
        own["enum"] = [word for word in own["enum"] if isinstance(word, str) == (kind == "string")]
    return choice | own


_NUMBERS: Final = ("integer", "number")
_ABOUT: Final[Mapping[str, Sequence[str]]] = {
    "enum": ("string", *_NUMBERS),
    "minimum": _NUMBERS,
    "maximum": _NUMBERS,
    "exclusiveMinimum": _NUMBERS,
    "pattern": ("string",),
    "format": ("string",),
    "minLength": ("string",),
    "maxLength": ("string",),
}
"""Which types of JSON each keyword is about."""


_TOLD_WHY: Final = {Scope.OPERATE, Scope.ADMIN}
_WITH_LOCATION: Final = {200, 201}

_PARAMETERS: Final[Json] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "makes a repetition harmless: what has this key is done once",
        "schema": {"type": "string", "minLength": 1, "maxLength": limits.MAX_KEY_CHARS},
        "example": "invoice-2030-01-31",
    },
    "X-BoltQ-Reason": {
        "name": "X-BoltQ-Reason",
        "in": "header",
        "description": "why this is done: for the audit log",
        "schema": {"type": "string", "maxLength": limits.MAX_REASON_CHARS},
    },
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "1 to 64 of A-Z a-z 0-9 . _ -; anything else is passed over",
        "schema": {"type": "string"},
    },
}

_HEADERS: Final[Json] = {
    "X-Request-Id": {
        "required": True,
        "description": "the request's id; errors in the server's log have it too",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "X-Server-Time": {
        "required": True,
        "description": "the time on the server",
        "schema": {"type": "string", "format": "date-time"},
    },
    "Location": {"description": "where the job is found", "schema": {"type": "string", "format": "uri-reference"}},
    "Retry-After": {
        "description": "seconds after which it makes sense to try again",
        "schema": {"type": "integer", "minimum": 0},
    },
}

_STAMPS: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "X-Server-Time")}

_PROBLEM: Final[Json] = {
    "Problem": {
        "description": "Why it says no (RFC 9457). Some kinds have members of their own.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": {"type": "string", "description": "`urn:boltq:problem:` and the kind"},
            "title": {"type": "string", "description": "the kind in words"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong this time"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Mistake"}},
            "request_id": {"type": "string"},
        },
    },
    "Mistake": {
        "description": "One thing that is wrong with a request.",
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "where: a JSON pointer, or / and the parameter"},
            "detail": {"type": "string", "description": "what is wrong"},
        },
    },
}
