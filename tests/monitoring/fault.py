"""What is done to a server so that alerts fire."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault, and the alerts that are for it.

    Args:
        words: what is done, for people.
        alerts: that have to fire as long as it lasts.
        provoke: does it to a world until its context ends.
    """

    words: str
    alerts: tuple[str, ...]
    provoke: Callable[[Any], Iterator[None]]
