"""What is left of the rates of keys, where several processes answer their callers."""

import fcntl
import hashlib
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.security.token_bucket import TokenBucket

# Of each: eight bytes of what it is of, its level, when that was so, and eight that are not used.
CELLS = 4


class SharedRates:
    """The buckets of all keys, in memory that processes share.

    It is a table that is never more than half full with as many keys as a file may have, found by
    what a bucket is of. Places of keys that are no more are not used again.

    Args:
        memory: zeros, or what others have left there.
        lock: descriptor of a file that is locked by who reads and writes. The kernel unlocks it
            where its process is killed.
    """

    def __init__(self, memory: mmap.mmap, lock: int) -> None:
        self._numbers = memoryview(memory).cast("d")
        self._identities = memoryview(memory).cast("Q")
        self._places = len(self._numbers) // CELLS
        self._lock = lock

    def bucket(self, of: str, rate: float, clock: Callable[[], float]) -> TokenBucket:
        """The bucket of one rate of one key; it is full where no process has used it yet.

        Args:
            of: what it is of, in full.
            rate: tokens a second.
            clock: seconds, the same for all processes.
        """
        digest = hashlib.sha256(f"{of} {rate!r}".encode()).digest()
        identity = int.from_bytes(digest[:8], "little") or 1
        with self.locked():
            for step in range(self._places):
                first = CELLS * ((identity + step) % self._places)
                found = self._identities[first]
                if found not in (0, identity):
                    continue
                bucket = _SharedBucket(rate, clock, self._numbers[first + 1 : first + 3], self)
                if not found:
                    bucket.put()
                    self._identities[first] = identity
                return bucket
        return TokenBucket(rate, clock)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; it takes 2 µs."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


class _SharedBucket(TokenBucket):
    """A bucket whose level is in shared memory.

    Args:
        rate, clock: see `TokenBucket`.
        numbers: its level, and when that was so.
        rates: which it is of.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float],
        numbers: "memoryview[float]",
        rates: SharedRates,
    ) -> None:
        super().__init__(rate, clock)
        self._numbers = numbers
        self._rates = rates

    def put(self) -> None:
        """Show others the level."""
        self._numbers[0], self._numbers[1] = self._level, self._seen

    def take(self, tokens: float) -> float:
        """Take tokens; returns 0, or where they are not there the seconds until they are."""
        with self._rates.locked():
            self._level, self._seen = self._numbers
            wait = super().take(tokens)
            self.put()
        return wait
