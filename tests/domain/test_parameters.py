"""How a function's parameters become the fields of a job's data."""

import pytest

from boltq import DataError
from boltq.domain.parameters import Parameters


def test_a_word_of_python_may_be_a_field():
    """`from_` is `from` in the data."""

    def send(to: str, from_: str = "me") -> None: ...
    def collect(from_: int, **more: object) -> None: ...

    assert Parameters(send).pack(("a",), {"from_": "b"}) == '{"to":"a","from":"b"}'
    assert Parameters(send).unpack('{"from":"b","to":"a"}') == (("a", "b"), {})
    assert list(Parameters(send).schema()["properties"]) == ["to", "from"]
    assert Parameters(collect).unpack('{"from":1,"x":2}') == ((), {"from_": 1, "x": 2})
    with pytest.raises(DataError, match="from_"):
        Parameters(send).unpack('{"from_":"b","to":"a"}')
