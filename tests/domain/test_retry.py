from hypothesis import given, strategies as st

from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Failed, RateLimited, RetryLater
from boltq.domain.retry import DEFAULT_BACKOFFS, Backoff, RetryPolicy

chances = st.floats(0, 1)
backoffs = st.builds(
    Backoff,
    base=st.floats(0.01, 60),
    factor=st.floats(1, 10),
    cap=st.floats(60, 3_600),
    floor=st.floats(0, 1),
    jitter=st.booleans(),
)


def failed(category: Category = Category.TRANSIENT, **fields: object) -> Failed:
    return Failed(JobError("E", "m", category), **fields)  # type: ignore[arg-type]


@given(backoffs, st.integers(1, 10_000), chances)
def test_a_delay_is_between_floor_and_cap(backoff: Backoff, attempt: int, chance: float) -> None:
    assert backoff.floor <= backoff.delay(attempt, chance) <= max(backoff.floor, backoff.cap) + 1e-9


@given(backoffs, st.integers(1, 200))
def test_the_ceiling_never_falls(backoff: Backoff, attempt: int) -> None:
    assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1)


def test_it_doubles() -> None:
    assert [Backoff(base=1, cap=10).ceiling(attempt) for attempt in range(1, 6)] == [1, 2, 4, 8, 10]


def test_a_herd_is_spread() -> None:
    delays = [RetryPolicy().delay(failed(), 5, 9) or 0 for _ in range(10_000)]
    buckets = [0] * 17
    for delay in delays:
        buckets[int(delay)] += 1
    assert max(buckets) < 5 * len(delays) / 16


def test_the_last_attempt_is_the_last() -> None:
    assert RetryPolicy().delay(failed(), 2, 3) is not None
    assert RetryPolicy().delay(failed(), 3, 3) is None


def test_some_errors_are_not_worth_another_attempt() -> None:
    for category in (Category.DATA, Category.POISON):
        assert RetryPolicy().delay(failed(category), 1, 9) is None
    assert RetryPolicy().delay(failed(retry=False), 1, 9) is None


def test_who_asks_for_a_time_gets_it() -> None:
    assert RetryPolicy().delay(failed(retry_after=30.0), 1, 9) == 30
    assert RetryPolicy().delay(failed(retry_after=-1.0), 1, 9) == 0


def test_a_policy_overrules_single_categories() -> None:
    policy = RetryPolicy(backoffs={Category.TRANSIENT: None, Category.DATA: Backoff(floor=7, cap=7, base=7)})
    assert policy.delay(failed(), 1, 9) is None
    assert policy.delay(failed(Category.DATA), 1, 9) == 7


def test_every_category_has_a_default() -> None:
    assert set(DEFAULT_BACKOFFS) == set(Category)


def test_errors_find_their_category() -> None:
    class Mine(Exception):
        pass

    policy = RetryPolicy(errors={Mine: Category.DATA})
    cases: list[tuple[BaseException, Category]] = [
        (Mine(), Category.DATA),
        (TimeoutError(), Category.TIMEOUT),
        (ConnectionResetError(), Category.TRANSIENT),
        (OSError(), Category.SYSTEM),
        (MemoryError(), Category.SYSTEM),
        (ValueError(), Category.UNKNOWN),
        (RateLimited(), Category.RATE_LIMITED),
        (RetryLater(), Category.TRANSIENT),
    ]
    for error, category in cases:
        assert policy.category_of(error) is category
