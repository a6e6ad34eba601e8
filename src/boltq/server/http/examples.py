"""Examples for the API's description, made from the schemas: for whoever reads it, and for what mocks the API."""

from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]

JOB: Final = "01M800PCTMJT81THNEAH5YZT00"
TIME: Final = "2030-01-31T09:30:00.000Z"
MOST_DEEP: Final = 8

VALUES: Final[Mapping[str, Any]] = {
    "id": JOB,
    "job_id": JOB,
    "type": "echo",
    "job_type": "echo",
    "queue": "default",
    "name": "default",
    "priority": "normal",
    "data": {"message": "Hello World"},
    "result": {"message": "Hello World"},
    "input": {"order": 7},
    "step": "fetch",
    "scope": "read",
    "worker": "web-1-4711-9f3a",
    "fingerprint": "4f0c9e1f2a7b",
    "text": "2,117 of 10,000 rows are done",
    "reason": "no longer needed",
    "code": "NO_WORKER",
    "cursor": "bmV4dA",
    "next_cursor": None,
    "pointer": "/data/to",
    "detail": "required",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "version": "1.0.0",
    "error": None,
    "run_at": TIME,
}
"""What a field of that name may hold, where its schema allows it."""


def example_of(schema: Json, components: Mapping[str, Json], name: str = "", depth: int = 0) -> Any:
    """A value that fits a schema."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components, name, depth)
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if choices := schema.get("anyOf") or schema.get("allOf"):
        return _chosen(choices, components, name, depth)
    if not schema.keys() & {"type", "properties"}:
        return VALUES.get(name, {"message": "Hello World"})
    return _typed(schema, components, name, depth)


def _chosen(choices: list[Json], components: Mapping[str, Json], name: str, depth: int) -> Any:
    can_be_null = {"type": "null"} in choices
    if can_be_null and (depth >= MOST_DEEP or VALUES.get(name, name) is None):
        return None
    fit = [choice for choice in choices if choice != {"type": "null"}]
    wanted = [choice for choice in fit if _fits(VALUES.get(name), choice)]
    return example_of((wanted or fit)[0], components, name, depth)


def _typed(schema: Json, components: Mapping[str, Json], name: str, depth: int) -> Any:
    kind = schema.get("type", "object")
    if kind == "object":
        return _object(schema, components, name, depth)
    if kind == "array":
        full = depth < MOST_DEEP or schema.get("minItems")
        return [example_of(schema["items"], components, name.removesuffix("s"), depth + 1)] if full else []
    if kind == "string":
        return _text(schema, name)
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    return {"boolean": False, "null": None, "integer": max(least, 1), "number": max(least, 1.5)}[kind]


def _object(schema: Json, components: Mapping[str, Json], name: str, depth: int) -> Json:
    if "properties" in schema:
        parts = {key: schema["properties"][key] for key in schema.get("required", ())}
        return {key: example_of(part, components, key, depth + 1) for key, part in parts.items()}
    inner = schema.get("additionalProperties")
    if isinstance(inner, dict):
        key = example_of(schema.get("propertyNames", {"type": "string"}), components, "queue")
        return {key: example_of(inner, components, "", depth + 1)}
    value = VALUES.get(name)
    return value if isinstance(value, dict) else {}


def _text(schema: Json, name: str) -> str:
    if schema.get("format") == "date-time" or name.endswith("_at") or name in {"since", "until"}:
        return TIME
    value = VALUES.get(name)
    return value if isinstance(value, str) else "default" if "pattern" in schema else name.replace("_", " ") or "text"


def _fits(value: Any, choice: Json) -> bool:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
    return choice.get("type") == kinds.get(type(value))
