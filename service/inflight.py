"""What the requests in progress hold in memory, over the whole process, and who may parse now.

A request asks before memory is taken for its body, for what a compressed body holds, and for what
either is parsed to. It gives back what it has been granted when it ends, however it ends. Large
bodies are parsed one at a time: json's parser keeps every other thread waiting, so that two of
them would keep the event loop waiting twice as long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import NoReturn

from service.errors import MemoryFullError, TooLargeError
from service.work_threads import WorkThreads

# Bodies that are decompressed at once: zlib lets other threads go on meanwhile.
DECOMPRESSED_AT_ONCE = 2


class InflightBudget:
    """The bytes that all requests of a server may hold together.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        """Bytes granted and not given back."""
        self.parsing = WorkThreads(1, "parse")
        """Where large bodies are parsed."""
        self.decompressing = WorkThreads(DECOMPRESSED_AT_ONCE, "decompress")
        """Where bodies are decompressed."""
        self.lock = Lock()
        """Held by who changes what is held."""

    def share(self) -> "MemoryShare":
        """What one request holds: nothing yet."""
        return MemoryShare(self)

    def close(self) -> None:
        """Parse and decompress nothing more."""
        self.parsing.close()
        self.decompressing.close()


class MemoryShare:
    """The bytes of a budget that one request holds; as a context manager, until its end.

    Args:
        budget: which they are of.
    """

    __slots__ = ("_budget", "_is_closed", "held")

    def __init__(self, budget: InflightBudget) -> None:
        self._budget = budget
        self._is_closed = False
        self.held = 0

    def charge(self, size: int) -> None:
        """Hold so many bytes more; to be called before they are taken, from any thread.

        Raises:
            TooLargeError: more than there are for all requests.
            MemoryFullError: more than the other requests leave.
        """
        budget = self._budget
        with budget.lock:
            # a thread may go on for a moment when its request has been cancelled
            is_granted = budget.held + size <= budget.limit and not self._is_closed
            if is_granted:
                budget.held += size
                self.held += size
        if not is_granted:
            self._refuse(size, budget.held)

    def keep(self, size: int) -> None:
        """Hold so many bytes at most from now on."""
        with self._budget.lock:
            if size < self.held:
                self._budget.held += size - self.held
                self.held = size

    def _refuse(self, size: int, held: int) -> NoReturn:
        """Say why so many bytes more are not granted, where all requests hold so many."""
        limit = self._budget.limit
        if self.held + size > limit:
            raise TooLargeError(
                f"this request takes {self.held + size} bytes of memory or more, and all requests "
                f"in progress may take {limit} together"
            )
        raise MemoryFullError(
            f"the requests in progress hold {held} of the {limit} bytes that they may hold "
            f"together, and this one needs {size} more"
        )

    def __enter__(self) -> "MemoryShare":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self.keep(0)


class SharedInflightBudget(InflightBudget):
    """The same of several processes, each of which reads what the others hold.

    Args:
        limit: in bytes, of all.
        hold: says that this process holds so many bytes.
        held_by_all: how many all of them hold.
    """

    def __init__(
        self, limit: int, hold: Callable[[int], None], held_by_all: Callable[[], int]
    ) -> None:
        super().__init__(limit)
        self.hold = hold
        self.held_by_all = held_by_all

    def share(self) -> MemoryShare:
        """What one request holds: nothing yet."""
        return _SharedMemoryShare(self)


class _SharedMemoryShare(MemoryShare):
    """The bytes of a budget of several processes that one request holds."""

    __slots__ = ()
    _budget: SharedInflightBudget

    def charge(self, size: int) -> None:
        """Hold so many bytes more; see `MemoryShare`.

        They are held before they are added up: of two processes that need the last bytes at the
        same time at most one is granted them.

        Raises:
            TooLargeError: more than there are for all requests.
            MemoryFullError: more than the other requests leave.
        """
        budget = self._budget
        with budget.lock:
            budget.hold(budget.held + size)
            held = budget.held_by_all() - size
            is_granted = held + size <= budget.limit and not self._is_closed
            if is_granted:
                budget.held += size
                self.held += size
            else:
                budget.hold(budget.held)
        if not is_granted:
            self._refuse(size, held)

    def keep(self, size: int) -> None:
        """Hold so many bytes at most from now on."""
        super().keep(size)
        budget = self._budget
        with budget.lock:
            budget.hold(budget.held)


@dataclass(frozen=True)
class BodyLimits:
    """Limits of one request's body.

    Args:
        body_bytes: most bytes, compressed or not.
        json_bytes: most bytes of JSON.
        json_values: most values in JSON, and most texts in any format.
        rows: most rows.
        sample_rows: most rows of the context of a sample.
    """

    body_bytes: int
    json_bytes: int
    json_values: int
    rows: int
    sample_rows: int


class TakesLongError(Exception):
    """A body that is to be parsed in a thread, as it takes long; raised on the event loop alone."""


class Reading:
    """What the parsers of one request's body may take.

    Args:
        limits: of the body.
        share: what the request holds; charged before memory is taken.
        on_loop: whether it is parsed on the event loop, which nothing may keep for long.
        has_tables: whether there are models of format 2, of which it may be asked.
    """

    __slots__ = ("has_tables", "limits", "on_loop", "share")

    def __init__(
        self,
        limits: BodyLimits,
        share: MemoryShare,
        *,
        on_loop: bool = False,
        has_tables: bool = False,
    ) -> None:
        self.limits = limits
        self.share = share
        self.on_loop = on_loop
        self.has_tables = has_tables

    def check_quick(self, is_quick: bool) -> None:
        """Go on, unless this runs on the event loop and takes long.

        Raises:
            TakesLongError: it does.
        """
        if self.on_loop and not is_quick:
            raise TakesLongError
