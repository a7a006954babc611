"""Loading bundles one after another, and what becomes of those that cannot be loaded."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable

from service.bundle import place
from service.runtime import DeviceError
from service.store.entry import Entry, Loading
from service.store.lease import Lease
from service.store.load import Load
from service.store.loader import Loader, Model
from service.store.refusal import Refusal, next_pause, refusal

log = logging.getLogger(__name__)

# Seconds that a load, or a look through the folder, may keep others waiting.
PATIENCE = 30.0

# Loads of a model that have a line each; later ones are one kind of line.
LOADS_TOLD = 8


class Loads:
    """The loads of one store.

    Bundles are loaded one after another, so that two do not need memory at once; one that takes
    longer than `PATIENCE` goes on beside the next.

    Args:
        loader: of bundles.
        entries: all that the store has.
        meant: those that a name means.
        memory: see `Store`.
        seconds: after so long, a load is given up.
    """

    def __init__(
        self,
        loader: Loader,
        entries: Callable[[], list[Entry]],
        meant: Callable[[], set[Entry]],
        memory: int | None,
        seconds: float,
    ) -> None:
        self._loader = loader
        self._entries = entries
        self._meant = meant
        self._memory = memory
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._device_failure: DeviceError | None = None
        self.has_tables = False
        """Whether a model of format 2, which reads requests its own way, has been loaded."""
        self._loaded: Counter[str] = Counter()

    def check_device(self) -> None:
        """See that the device could be used.

        Raises:
            DeviceError: it could not, since this was last called.
        """
        if (failure := self._device_failure) is not None:
            self._device_failure = None
            raise failure

    async def settle(self, entry: Entry) -> None:
        """Load an entry's files, and wait until they are, or for so long that others should not."""
        if entry.forgotten:
            return
        if (loading := entry.loading) is None:
            loading = entry.loading = Loading(entry.folder)
            loading.task = asyncio.create_task(self._load(entry, loading))
        await loading.settled.wait()

    def drop(self, entry: Entry) -> None:
        """Give up what is loaded, and what is being loaded."""
        if (loading := entry.loading) is not None:
            entry.loading = None
            loading.abandon()
        entry.evicted = False
        self._release(entry)

    async def _load(self, entry: Entry, loading: Loading) -> None:
        """Load an entry's files; where they are refused, what was loaded before stays."""
        try:
            await self._load_in_turn(entry, loading)
        except asyncio.CancelledError:
            loading.abandon()  # the loop is ending
            raise

    async def _load_in_turn(self, entry: Entry, loading: Loading) -> None:
        async with self._turn:
            started = time.monotonic()
            entry.seen, entry.next_try = entry.found, math.inf
            loading.load = Load(self._loader, entry.folder, (entry.name, entry.version))
            result = asyncio.wrap_future(loading.load.result)
            await asyncio.wait({result}, timeout=min(PATIENCE, self._seconds))
        if not result.done() and self._seconds > PATIENCE:
            loading.settled.set()
            log.warning("%s is not loaded after %g s; others go on", entry.folder, PATIENCE)
            await asyncio.wait({result}, timeout=self._seconds - PATIENCE)
        entry.loading = None
        if not result.done():
            loading.load.abandon()
            reason = f"{place(entry.folder)} was not loaded in {self._seconds:g} seconds"
            self._refuse(entry, Refusal(reason, may_pass=False), "given up")
        elif (error := result.exception()) is not None:
            self._fail(entry, error)
        else:
            self._install(entry, result.result(), time.monotonic() - started)
        loading.settled.set()

    def _install(self, entry: Entry, model: Model, seconds: float) -> None:
        self._release(entry)
        entry.lease, entry.refused, entry.used = Lease(model), "", time.monotonic()
        entry.pause, entry.evicted = 0.0, False
        self.has_tables = self.has_tables or model.format_2 is not None
        self._loader.metrics.loaded(model.manifest, model.engine.provider, model.engine.threads)
        if self._loader.watching is not None and model.watch is not None:
            self._loader.watching.loaded(model.watch)
        self._loader.metrics.loads.labels("loaded").inc()
        self._loaded[entry.name] += 1
        # whoever writes versions without end writes no log without end
        kind = "loaded", entry.name, min(self._loaded[entry.name], LOADS_TOLD)
        said = "loaded %s on %s, %.2f s"
        log.info(said, entry.folder, model.engine.provider, seconds, extra={"kind": kind})
        self._make_room(entry)

    def _fail(self, entry: Entry, error: BaseException) -> None:
        if isinstance(error, DeviceError):
            self._device_failure = error
        reason = refusal(entry.folder, error)
        if not reason.is_known and reason.reason != entry.refused:
            log.error("could not load %s", entry.folder, exc_info=error)
        self._refuse(entry, reason, "unreadable" if reason.may_pass else "refused")

    def _refuse(self, entry: Entry, reason: Refusal, outcome: str) -> None:
        self._loader.metrics.loads.labels(outcome).inc()
        if outcome == "refused":
            self._loader.metrics.bundle_refusals.labels(reason.kind).inc()
        entry.pause = next_pause(entry.pause) if reason.may_pass else 0.0
        entry.next_try = time.monotonic() + entry.pause if reason.may_pass else math.inf
        if reason.reason != entry.refused:
            then = f"; tried again in {entry.pause:g} s" if reason.may_pass else ""
            log.error("refused %s: %s%s", entry.folder, reason.reason, then)
        entry.refused = reason.reason

    def _make_room(self, newest: Entry) -> None:
        """Unload models until the rest may stay; the newest always may.

        Versions that no name means are asked for by number, which few do: they go first.
        """
        if self._memory is None:
            return
        meant = self._meant()
        loaded = [entry for entry in self._entries() if entry.model]
        loaded.sort(key=lambda entry: (entry in meant, entry.used))
        size = sum(entry.model.size for entry in loaded if entry.model)
        for entry in loaded:
            if size <= self._memory:
                break
            if entry is not newest and entry.model:
                log.info("unloaded %s: %d bytes are loaded", entry.folder, size)
                size -= entry.model.size
                entry.evicted = True
                self._release(entry)

    def _release(self, entry: Entry) -> None:
        """Release the store's lease of what is loaded."""
        if (lease := entry.lease) is not None:
            model = lease.resource
            self._loader.metrics.unloaded(model.manifest, model.engine.provider)
            if self._loader.watching is not None and model.watch is not None:
                self._loader.watching.unloaded(model.watch)
            entry.lease = None
            lease.release()
