"""How long a loaded model lives: as long as somebody holds a lease of it."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from service.errors import UnavailableError


class LeaseCount:
    """The leases of one resource, which is closed once: when the last of them is released.

    Args:
        close: closes the resource; called in the thread that releases the last lease.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._lock = threading.Lock()
        self._held = 0
        self._is_closed = False

    @property
    def held(self) -> int:
        """How many leases there are."""
        return self._held

    def acquire(self) -> None:
        """Count one lease more.

        Raises:
            UnavailableError: the resource has been closed.
        """
        with self._lock:
            if self._is_closed:
                raise UnavailableError("this model has been unloaded")
            self._held += 1

    def release(self) -> None:
        """Count one lease less; the last one closes the resource."""
        with self._lock:
            self._held -= 1
            self._is_closed = is_last = self._held == 0
        if is_last:
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

    __slots__ = ("_is_held", "_resource")

    def __init__(self, resource: R) -> None:
        resource.leases.acquire()
        self._resource = resource
        self._is_held = True

    def __enter__(self) -> R:
        return self._resource

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.release()

    @property
    def resource(self) -> R:
        """What is claimed."""
        return self._resource

    def release(self) -> None:
        """Give the claim up; the second time changes nothing."""
        if self._is_held:
            self._is_held = False
            self._resource.leases.release()
