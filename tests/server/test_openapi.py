"""The API's description: all of the table is in it, it is valid, and it is served with a page to read it."""

import json
import re

import httpx
import jsonschema_rs
import pytest
import schemathesis
from api_table import CALLS

from boltq.domain.scopes import Scope
from boltq.server.http.docs_page import FILES, FOLDER
from boltq.server.http.openapi import EXAMPLES, TAGS, document, kinds_of
from boltq.server.http.problems import KINDS

pytestmark = pytest.mark.any_partitions  # what it looks at never gets as far as a partition

DOCUMENT = document(CALLS)

every_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.id)


def operation_of(call):
    return DOCUMENT["paths"][call.path][call.method.lower()]


@every_call
def test_every_call_is_in_it(call):
    operation = operation_of(call)
    assert operation["operationId"] == call.id
    assert len(operation["summary"]) > 5
    assert operation["description"]
    assert operation["tags"] == [call.tag]
    assert call.tag in TAGS
    assert call.answers
    assert all(str(status) in operation["responses"] for status in call.answers)
    assert ("requestBody" in operation) == (call.body is not None)
    assert operation.get("x-scope") == (call.scope and str(call.scope))


def test_it_has_nothing_else():
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(call.path, call.method.lower()) for call in CALLS}
    assert len({call.id for call in CALLS}) == len(CALLS)


@every_call
def test_every_parameter_of_a_path_is_described(call):
    described = {one["name"] for one in operation_of(call)["parameters"] if one.get("in") == "path"}
    assert described == set(re.findall(r"{(\w+)}", call.path))


@every_call
def test_every_problem_is_described(call):
    assert set(call.problems) <= set(KINDS)
    for kind in kinds_of(call):
        response = _resolved(operation_of(call)["responses"][str(KINDS[kind][0])])
        schema = response["content"]["application/problem+json"]["schema"]
        assert f"urn:boltq:problem:{kind}" in schema["properties"]["type"]["enum"]


@every_call
def test_an_answer_says_what_is_in_it(call):
    """So that clients can be made from it: no call answers just anything."""
    for status, kind in call.answers.items():
        assert kind is not None or status == 204, f"{call.id}: name the struct of {status}"


@every_call
def test_an_example_fits_its_schema(call):
    if call.body is None:
        return
    content = operation_of(call)["requestBody"]["content"]["application/json"]
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema).validate(content["example"])


def test_every_example_has_its_call():
    assert set(EXAMPLES) == {call.id for call in CALLS if call.body}
    assert all(EXAMPLES.values())


@every_call
def test_every_answer_and_every_part_of_the_path_has_an_example_that_fits(call):
    operation = operation_of(call)
    for status in call.answers:
        content = operation["responses"][str(status)].get("content", {})
        assert content or call.answers[status] is None
        for media in content.values():
            schema = media["schema"] | {"components": DOCUMENT["components"]}
            jsonschema_rs.Draft202012Validator(schema).validate(media["example"])
    for parameter in operation["parameters"]:
        if parameter.get("in") == "path":
            jsonschema_rs.Draft202012Validator(parameter["schema"]).validate(parameter["example"])


# What generators of clients stumble over; test_generated_clients.py has three of them


def schemas_in(node):
    """Every schema of the document, at every depth."""
    if isinstance(node, dict):
        if {"type", "anyOf", "$ref", "enum", "allOf", "properties"} & node.keys():
            yield node
        for key, value in node.items():
            if key not in {"example", "examples"}:
                yield from schemas_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas_in(value)


def test_no_schema_mixes_the_keywords_of_several_types():
    """An enum of words and numbers had operations dropped, with all that leads to them."""
    for schema in schemas_in(DOCUMENT["paths"] | DOCUMENT["components"]["schemas"]):
        if "anyOf" in schema:
            assert not schema.keys() & {"enum", "minimum", "maximum", "exclusiveMinimum", "pattern", "format"}, schema
        if "enum" in schema:
            assert len({isinstance(word, str) for word in schema["enum"]}) == 1, schema


def test_an_object_says_what_is_in_it():
    """One that does not becomes one without keys."""
    for schema in schemas_in(DOCUMENT["paths"] | DOCUMENT["components"]["schemas"]):
        if schema.get("type") == "object":
            assert schema.keys() & {"properties", "additionalProperties"}, schema


@every_call
def test_an_answer_of_one_status_has_one_shape(call):
    """Or whoever calls it would have to find out which one came."""
    shapes = [kind for kind in call.answers.values() if kind]
    assert not any(isinstance(kind, tuple) for kind in shapes)
    assert len(set(shapes)) <= 1


@every_call
def test_what_may_be_left_out_of_a_body_is_not_demanded(call):
    """Some generators demand each field that has a default."""
    if call.body:
        content = operation_of(call)["requestBody"]["content"]["application/json"]
        for schema in schemas_in(reached_from(content["schema"])):
            for name, about in schema.get("properties", {}).items():
                assert "default" not in about, name


def reached_from(schema, seen=()):
    found = [schema]
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)):
        if reference not in seen:
            found += reached_from(DOCUMENT["components"]["schemas"][reference], (*seen, reference))
    return found


def test_what_an_answer_always_has_is_required():
    view = DOCUMENT["components"]["schemas"]["SubmittedView"]
    assert set(view["required"]) == set(view["properties"])


def test_every_scope_that_a_call_can_need_is_one():
    assert {call.scope for call in CALLS} <= {None, *Scope}


def test_it_is_a_valid_openapi_document():
    schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT))).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_no_two_structs_have_one_name():
    """Or else msgspec calls them by their modules, and so would every client."""
    assert [name for name in DOCUMENT["components"]["schemas"] if "." in name] == []


def test_every_reference_leads_somewhere():
    for reference in re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(DOCUMENT)):
        assert _resolved({"$ref": reference})


def test_it_is_served(http):
    answer = http.get("/openapi.json")
    assert answer.json() == DOCUMENT
    assert answer.headers["content-type"] == "application/json"
    known = http.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("path", ["/openapi.json", *FILES])
def test_what_is_served_packed_is_the_same(http, path):
    packed = http.get(path, headers={"Accept-Encoding": "gzip"})
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.status_code == plain.status_code == 200
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content


def test_the_page_asks_nobody_else(http):
    page = http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    rules = page.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in rules
    assert "script-src 'self'" in rules
    own = page.text + http.get("/docs/start.js").text
    assert "//" not in re.sub(r"^//.*|, // .*$", "", own, flags=re.MULTILINE)
    assert not re.search(r"<script>|<style|\son\w+=", own)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address == "data:," or http.get(f"/{address}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/docs/", "/docs/LICENSE", "/docs/../app.py", "/docs/%2e%2e/app.py", "/docs/index.html"]
)
def test_no_other_file_is_served(http, path):
    assert http.get(httpx.URL(str(http.base_url).rstrip("/") + path)).status_code == 404


def test_the_page_is_guarded(http):
    assert http.get("/docs", headers={"Host": "evil.example"}).status_code == 421
    assert http.post("/docs").status_code == 405


def test_what_is_not_ours_has_its_licence():
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "SmartBear" in (FOLDER / "NOTICE").read_text()


def _resolved(node):
    if "$ref" not in node:
        return node
    found = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_what_an_answer_may_leave_out_is_not_required():
    for name, always in (("JobError", {"category", "message"}), ("FirstSubmittedView", {"id", "job_id", "status"})):
        schema = DOCUMENT["components"]["schemas"][name]
        assert always <= set(schema["required"]) < set(schema["properties"])
