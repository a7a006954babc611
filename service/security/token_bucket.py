"""A rate: so much a second on average, and what a second holds at once."""

from collections.abc import Callable


class TokenBucket:
    """Tokens that come at a steady rate, up to what a second brings.

    A request that takes more than the bucket can hold is granted when it is full, and leaves a debt
    that the next ones wait for: over t seconds no more is granted than rate · (t + 1) and the
    largest request.

    Args:
        rate: tokens a second.
        clock: seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._size = max(rate, 1.0)
        self._level = self._size
        self._seen = clock()

    def take(self, tokens: float) -> float:
        """Take tokens; returns 0, or where they are not there the seconds until they are."""
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._seen) * self._rate)
        self._seen = now
        lacking = min(tokens, self._size) - self._level
        # by so much the sum of many small times may be off
        if lacking > 1e-9 * self._size:
            return lacking / self._rate
        self._level -= tokens
        return 0.0
