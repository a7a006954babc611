"""A version of a bundle in a store's folder, and what has become of it."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.bundle import Fingerprint
from service.store.lease import Lease
from service.store.load import Load
from service.store.loader import Model


@dataclass(eq=False)
class Loading:
    """A load in progress.

    Args:
        folder: of the bundle.

    Attributes:
        settled: set when it is over, or takes so long that others no longer wait for it.
        load: its thread, once its turn has come.
        task: what waits for it.
    """

    folder: Path
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    load: Load | None = None
    task: asyncio.Task[None] | None = None

    def abandon(self) -> None:
        """Give it up; what it loads all the same is closed."""
        if self.task is not None:
            self.task.cancel()
        if self.load is not None:
            self.load.abandon()
        self.settled.set()


@dataclass(eq=False)
class Entry:
    """A version of a bundle in the folder.

    Args:
        folder: store/<name>/<version>, or any where it is served alone.
        name: its model's.
        version: its number.

    Attributes:
        found: what its files were when the folder was last looked through.
        seen: what they were when they were last read.
        lease: the store's own of the loaded version, which stays where newer files are refused.
        loading: a load in progress.
        refused: why it could not be loaded, or why newer files could not.
        pause: seconds between its last two tries, where the reason may pass; else 0.
        next_try: when it is tried again, on `time.monotonic`'s clock.
        unloaded: whether a caller has unloaded it; it is not loaded until a caller loads it.
        evicted: whether it made room for others; it is loaded when it is asked for.
        forgotten: whether it is no longer in the folder.
        missed: how many times in a row its folder was not there.
        used: when it was last asked for, on the same clock.
        withdrawn: whether its model's name alone does not mean it.
    """

    folder: Path
    name: str
    version: int
    found: Fingerprint | None = None
    seen: Fingerprint | None = None
    lease: Lease[Model] | None = None
    loading: Loading | None = None
    refused: str = ""
    pause: float = 0.0
    next_try: float = math.inf
    unloaded: bool = False
    evicted: bool = False
    forgotten: bool = False
    missed: int = 0
    used: float = 0.0
    withdrawn: bool = False

    @property
    def model(self) -> Model | None:
        """The version, if it is loaded."""
        return None if self.lease is None else self.lease.resource

    @property
    def is_able(self) -> bool:
        """Whether it answers, at once or after it has been loaded again."""
        return self.lease is not None or (self.evicted and not self.refused)

    @property
    def is_awaited(self) -> bool:
        """Whether it is about to be loaded for the first time."""
        return not (self.lease or self.evicted or self.refused or self.unloaded)

    @property
    def states(self) -> Iterator[str]:
        """Those of metrics' `VERSION_STATES` that it is in."""
        if self.lease is not None:
            yield "loaded"
        elif self.unloaded or self.evicted:
            yield "unloaded"
        if self.refused:
            yield "refused"
        if self.is_awaited:
            yield "awaited"

    def is_due(self, now: float) -> bool:
        """Whether it should be loaded: its files are others, or it is to be tried again."""
        return not self.unloaded and (self.seen != self.found or self.next_try <= now)
