"""A rate holds over any time, and nobody waits longer than it says."""

from hypothesis import given
from hypothesis import strategies as st

from service.security.token_bucket import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


STEPS = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=40)


@given(rate=st.floats(0.1, 100), steps=STEPS)
def test_no_more_is_granted_than_the_rate_and_a_second_and_the_largest(
    rate: float, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    granted: list[tuple[float, int]] = []
    for pause, tokens in steps:
        clock.seconds += pause
        if bucket.take(tokens) == 0:
            granted.append((clock.seconds, tokens))
    for i, (start, _) in enumerate(granted):
        for j in range(i, len(granted)):
            window = granted[i : j + 1]
            seconds = window[-1][0] - start
            most = rate * seconds + max(rate, 1) + max(tokens for _, tokens in window)
            assert sum(tokens for _, tokens in window) <= most * (1 + 1e-6)


@given(rate=st.floats(0.1, 100), steps=STEPS, tokens=st.integers(1, 1000))
def test_what_is_refused_is_granted_when_it_was_said(
    rate: float, steps: list[tuple[float, int]], tokens: int
) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    for pause, others in steps:
        clock.seconds += pause
        bucket.take(others)
    wait = bucket.take(tokens)
    clock.seconds += wait
    assert wait == 0 or bucket.take(tokens) == 0


def test_a_bucket_is_full_at_first_and_holds_what_a_second_brings() -> None:
    clock = Clock()
    bucket = TokenBucket(3, clock)
    clock.seconds += 1000
    assert [bucket.take(1) == 0 for _ in range(5)] == [True] * 3 + [False] * 2
    assert abs(bucket.take(1) - 1 / 3) < 1e-9
    clock.seconds += 1
    assert bucket.take(300) == 0  # more than it holds: on credit
    assert abs(bucket.take(1) - (297 + 1) / 3) < 1e-9
