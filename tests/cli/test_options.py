"""How the texts of arguments are read."""

import argparse

import pytest

from boltq.cli.options import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("1d", 86_400), ("500ms", 0.5), ("0s", 0)],
)
def test_a_duration(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "5 m", "1h30", "-5", "nan", "inf", "²"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration"):
        seconds(text)
