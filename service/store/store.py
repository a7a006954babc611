"""The models that a server holds, and which of them a request means."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from service.bundle import BundleError, place
from service.errors import (
    InvalidInputError,
    ModelRefusedError,
    UnavailableError,
    UnknownModelError,
)
from service.store.entry import Entry
from service.store.lease import Lease
from service.store.loader import Loader, Model
from service.store.loads import Loads
from service.store.looks import Looks
from service.store.naming import Naming, some
from service.telemetry import current

log = logging.getLogger(__name__)


class Store:
    """Every bundle of a folder, loaded, and those that were refused with the reason why.

    The store holds one lease of each loaded model, and gives each request one of its own. A model
    that is replaced or unloaded loses the store's lease: it answers the requests that still hold
    it, and its threads and memory go with the last of them.

    Everything here runs in the event loop's thread, but for what reads files.

    Args:
        folder: the store, or one bundle.
        loader: of its bundles.
        default: the model of requests that name none, or NAME@ALIAS; where the store has one
            model, that one.
        memory: bytes that the files of loaded models may have; beyond, those asked for longest
            ago are unloaded until they are asked for again. None for no limit.
        load_seconds: after so long, a load is given up.
        unloaded: models that a caller has unloaded before this store was made.

    Attributes:
        on_change: called when the folder has been looked through and is another than before.
    """

    def __init__(
        self,
        folder: Path,
        loader: Loader,
        default: str | None,
        memory: int | None,
        load_seconds: float = 300.0,
        unloaded: Collection[str] = (),
    ) -> None:
        self._looks = Looks(folder, loader.metrics)
        self._default = default
        self._entries: dict[str, dict[int, Entry]] = {}
        self._naming = Naming(self._entries)
        self._loads = Loads(loader, self._all, self._naming.meant, memory, load_seconds)
        self._refreshing = asyncio.Lock()  # one look at a time
        self._unloaded = unloaded
        self.on_change: Callable[[], None] = lambda: None

    @property
    def entries(self) -> dict[str, dict[int, Entry]]:
        """What is in the folder, by name and version."""
        return self._entries

    @property
    def default(self) -> str | None:
        """The model of requests that name none."""
        return self._default or (next(iter(self._entries)) if len(self._entries) == 1 else None)

    @property
    def models(self) -> list[Model]:
        """Everything that is loaded."""
        return [entry.model for entry in self._all() if entry.model is not None]

    @property
    def states(self) -> Counter[str]:
        """How many versions are in each of metrics' `VERSION_STATES`."""
        return Counter(state for entry in self._all() for state in entry.states)

    @property
    def has_tables(self) -> bool:
        """Whether there may be a model of format 2: of typed columns, a detector or an ensemble."""
        return self._loads.has_tables

    @property
    def naming(self) -> Naming:
        """What names mean."""
        return self._naming

    async def get(self, name: str | None, version: int | None) -> Lease[Model]:
        """A lease of the model that a request means; the current version where it names none.

        Args:
            name: NAME, or NAME@ALIAS.
            version: its number.

        Raises:
            InvalidInputError: it names no model, and there are several; or a version twice.
            UnknownModelError: there is no such model, alias or version.
            ModelRefusedError: it is in the store, and was not loaded.
            UnavailableError: it has been unloaded, or is still being loaded.
        """
        entry = self._find(name, version)
        if entry.lease is None:
            await self._loads.settle(entry)
            entry = self._find(name, version)  # it may have changed while this waited
            if entry.lease is None:
                raise UnavailableError(f"{place(entry.folder)} is still being loaded")
        entry.used = time.monotonic()
        return Lease(entry.lease.resource)

    async def refresh(self, *, misses: bool = True) -> None:
        """Load what is new or changed in the folder, and drop what is no longer in it.

        A bundle is dropped when it is missing twice: replacing a folder takes two steps. Where all
        are missing at once, or the folder cannot be read, what is loaded stays.

        Args:
            misses: whether what is missing counts as missing once more.

        Raises:
            BundleError: the folder cannot be read, and nothing is known of it from before.
            DeviceError: the device asked for cannot be used.
        """
        async with self._refreshing:
            if (look := await self._looks.look(len(self._entries))) is None:
                return
            if look.is_back:
                for entry in self._all():
                    if entry.refused:
                        entry.seen = None  # it may have been read while the store was not there
            if look.is_other:
                self.on_change()
            found = look.found
            for (name, version), there in found.bundles.items():
                versions = self._entries.setdefault(name, {})
                entry = versions.setdefault(version, Entry(there.folder, name, version))
                entry.missed, entry.found = 0, there.fingerprint
                if look.is_first and name in self._unloaded:
                    entry.unloaded = True
            for name, versions in self._entries.items():  # the newest last, as `Naming` has it
                self._entries[name] = dict(sorted(versions.items()))
            for entry in self._all():
                if (entry.name, entry.version) in found.bundles or entry.name in found.unknown:
                    continue
                entry.missed += misses
                if entry.missed > 1:
                    self._forget(entry)
            self._naming.take(found.names)
            await self._load_due()

    async def retry(self) -> None:
        """Load what was refused for a reason that may have passed, where its pause is over."""
        async with self._refreshing:
            await self._load_due()

    async def load(self, name: str) -> None:
        """Load a model anew, every version of it that the folder holds.

        Raises:
            UnknownModelError: there is no such model.
            ModelRefusedError: not one version could be loaded.
            UnavailableError: none is loaded yet.
        """
        for entry in self._entries.get(name, {}).values():
            entry.unloaded, entry.seen = False, None
        try:
            await self.refresh()
        except BundleError:
            raise ModelRefusedError(self._looks.unreadable) from None
        versions = self._versions(name)
        if all(entry.model is None for entry in versions.values()):
            newest = versions[max(versions)]
            if not newest.refused:
                raise UnavailableError(f"{place(newest.folder)} is still being loaded")
            raise ModelRefusedError(newest.refused)

    async def unload(self, name: str) -> None:
        """Unload a model until it is loaded by name.

        Raises:
            UnknownModelError: there is no such model.
        """
        for entry in self._versions(name).values():
            entry.unloaded = True
            self._loads.drop(entry)

    def close(self) -> None:
        """Release every model; those that requests hold go with the last of these."""
        for entry in self._all():
            entry.forgotten = True
            self._loads.drop(entry)
        self._entries.clear()

    def _find(self, name: str | None, version: int | None) -> Entry:
        name = name or self.default
        if name is None:
            raise InvalidInputError(f"say which model: one of {some(sorted(self._entries))}")
        if name not in self._entries:
            name, version = self._naming.resolve(name, version)
        versions, record = self._entries[name], current()
        if record is not None:
            record.model = name
        if version is None:
            entry = self._naming.current(name)
        elif version in versions:
            entry = versions[version]
        else:
            newest = sorted(versions, reverse=True)
            raise UnknownModelError(
                f"model {name!r} has no version {version!s:.40}: there are {some(newest)}"
            )
        if record is not None:
            record.version = entry.version
        if entry.unloaded:
            raise UnavailableError(f"model {name!r} has been unloaded", retry_after=None)
        if entry.lease is None and entry.refused:
            raise ModelRefusedError(entry.refused)
        if entry.lease is None and not entry.evicted:
            raise UnavailableError(f"{place(entry.folder)} is still being loaded")
        return entry

    def _versions(self, name: str) -> dict[int, Entry]:
        if not (versions := self._entries.get(name)):
            raise UnknownModelError(
                f"no model {name!r:.80}: there are {some(sorted(self._entries))}"
            )
        return versions

    def _all(self) -> list[Entry]:
        return [entry for versions in self._entries.values() for entry in versions.values()]

    async def _load_due(self) -> None:
        # what names mean comes last: where memory is bounded, the latest load may stay
        for entry in sorted(self._all(), key=self._naming.meant().__contains__):
            if entry.is_due(time.monotonic()):
                await self._loads.settle(entry)
        self._naming.settle()
        self._loads.check_device()

    def _forget(self, entry: Entry) -> None:
        log.info("%s is no longer there", entry.folder)
        entry.forgotten = True
        self._loads.drop(entry)
        del self._entries[entry.name][entry.version]
        if not self._entries[entry.name]:
            del self._entries[entry.name]
