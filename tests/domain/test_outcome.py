from hypothesis import given, strategies as st

from boltq.domain.job_error import Category, as_json, clean, describe, error_of, fingerprint
from boltq.domain.limits import MAX_ERROR_CHARS, MAX_MESSAGE_CHARS


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def caught(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301
    except BaseException as raised:  # noqa: BLE001
        return raised


def test_an_error_whose_text_cannot_be_had() -> None:
    described = describe(caught(HostileError()), Category.UNKNOWN)
    assert described.class_name == "HostileError"
    assert "RuntimeError" in described.message
    assert "caught" in described.traceback


def test_long_ones_are_cut_and_keep_their_end() -> None:
    described = describe(caught(ValueError("x" * 100_000 + "the end")), Category.DATA)
    assert len(described.message) == MAX_MESSAGE_CHARS
    assert len(described.traceback) == MAX_ERROR_CHARS
    assert described.traceback.endswith("the end\n")


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_text_can_be_stored(text: str) -> None:
    clean(text).encode()
    error = describe(caught(ValueError(text)), Category.UNKNOWN)
    assert error_of(as_json(error)) == error


def test_errors_of_one_place_have_one_fingerprint() -> None:
    def fail(number: int) -> BaseException:
        return caught(ValueError(number))

    first, second = fail(1), fail(2)
    assert fingerprint("E", first.__traceback__) == fingerprint("E", second.__traceback__)
    assert fingerprint("E", first.__traceback__) != fingerprint("F", first.__traceback__)
