import json

import pytest
from hypothesis import given, strategies as st

from boltq.domain.merge import merge_patch


@pytest.mark.parametrize(
    ("text", "patch", "merged"),
    [  # the examples of RFC 7396 whose target and patch are objects
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
        ('{"a":[1]}', '{"a":{"b":null,"c":1}}', '{"a":{"c":1}}'),
    ],
)
def test_as_the_standard_says(text: str, patch: str, merged: str) -> None:
    assert merge_patch(text, patch) == merged


def test_what_is_not_touched_keeps_its_order_and_its_digits() -> None:
    text = '{"z":9007199254740993123, "a":1.10,"m":{"y":1E400,"x":"\\u00e9"}, "n" : 1e2}'
    merged = merge_patch(text, '{"m":{"w":18446744073709551617},"n":null}')
    assert merged == '{"z":9007199254740993123,"a":1.10,"m":{"y":1E400,"x":"\\u00e9","w":18446744073709551617}}'


@pytest.mark.parametrize(("text", "patch"), [("[]", "{}"), ("{}", "1"), ("{}", "{"), ("{}", "null"), ("", "{}")])
def test_only_objects(text: str, patch: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        merge_patch(text, patch)


def test_a_depth_without_end_is_refused() -> None:
    deep = '{"a":' * 200 + "1" + "}" * 200
    with pytest.raises(ValueError, match="deep"):
        merge_patch("{}", deep)


def by_the_book(target: object, patch: object) -> object:
    """The pseudo code of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = by_the_book(merged.get(name), value)
    return merged


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(objects, objects)
def test_as_the_pseudo_code_says(target: dict, patch: dict) -> None:
    assert json.loads(merge_patch(json.dumps(target), json.dumps(patch))) == by_the_book(target, patch)
