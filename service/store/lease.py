"""How long a loaded model lives: as long as somebody holds a lease of it."""

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from service.errors import UnavailableError


class LeaseCount:
    """The leases of one resource, which is closed once: when the last of them is released.

    They are all taken and released in one thread, the event loop's: a lock would cost every request
    half a microsecond.

    Args:
        close: closes the resource.

    Attributes:
        held: how many leases there are.
    """

    __slots__ = ("_close", "_is_closed", "held")

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._is_closed = False
        self.held = 0

    def acquire(self) -> None:
        """Count one lease more.

        Raises:
            UnavailableError: the resource has been closed.
        """
        if self._is_closed:
            raise UnavailableError("this model has been unloaded")
        self.held += 1

    def release(self) -> None:
        """Count one lease less; the last one closes the resource."""
        self.held -= 1
        if self.held == 0:
            self._is_closed = True
            self._close()


class Leased(Protocol):
    """A resource of which leases are taken."""

    @property
    def leases(self) -> LeaseCount:
        """Who holds it."""
        ...


R = TypeVar("R", bound=Leased)


class Lease(Generic[R]):
    """A claim on a resource, which is not closed while the claim is held.

    The store has one of each loaded model, and a request has one from the moment at which its
    model is known to the end of its answer. Usage::

        with await store.get(name, version) as model:
            ...

    Args:
        resource: what is claimed.

    Raises:
        UnavailableError: the resource has been closed.
    """

    __slots__ = ("_is_held", "resource")

    def __init__(self, resource: R) -> None:
        resource.leases.acquire()
        self.resource = resource
        self._is_held = True

    def __enter__(self) -> R:
        return self.resource

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the claim up; the second time changes nothing."""
        if self._is_held:
            self._is_held = False
            self.resource.leases.release()
