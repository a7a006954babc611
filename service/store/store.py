"""The models that a server holds, and which of them a request means."""

import asyncio
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from service import bundle
from service.bundle import NAME, BundleError, Fingerprint
from service.errors import (
    InvalidInputError,
    ModelRefusedError,
    UnavailableError,
    UnknownModelError,
)
from service.runtime import DeviceError
from service.store.lease import Lease
from service.store.loader import Loader, Model

log = logging.getLogger(__name__)


@dataclass
class Entry:
    """A version of a bundle in the folder.

    Args:
        folder: store/<name>/<version>.
        seen: what its files were when they were last read.
        lease: the store's own of the loaded version, which stays where newer files are refused.
        refused: why it could not be loaded, or why newer files could not.
        unloaded: whether a caller has unloaded it; it is not loaded until a caller loads it.
        missed: how many times in a row its folder was not there.
        used: when it was last asked for, on `time.monotonic`'s clock.
    """

    folder: Path
    seen: Fingerprint | None = None
    lease: Lease[Model] | None = None
    refused: str = ""
    unloaded: bool = False
    missed: int = 0
    used: float = 0.0

    @property
    def version(self) -> int:
        """Its number."""
        return int(self.folder.name)

    @property
    def model(self) -> Model | None:
        """The version, if it is loaded."""
        return None if self.lease is None else self.lease.resource


class Store:
    """Every bundle of a folder, loaded, and those that were refused with the reason why.

    The store holds one lease of each loaded model, and gives each request one of its own. A model
    that is replaced or unloaded loses the store's lease: it answers the requests that still hold
    it, and its threads and memory go with the last of them.

    Args:
        folder: the store.
        loader: of its bundles.
        default: the model of requests that name none; where the store has one model, that one.
        memory: bytes that the files of loaded models may have; beyond, those asked for longest
            ago are unloaded until they are asked for again. None for no limit.
    """

    def __init__(
        self, folder: Path, loader: Loader, default: str | None, memory: int | None
    ) -> None:
        self._folder = folder
        self._loader = loader
        self._default = default
        self._memory = memory
        self._entries: dict[str, dict[int, Entry]] = {}
        self._changing = asyncio.Lock()  # one change at a time
        self._threads = ThreadPoolExecutor(1, "store-load")

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

    async def get(self, name: str | None, version: int | None) -> Lease[Model]:
        """A lease of the model that a request means; the newest version where it names none.

        Raises:
            InvalidInputError: it names no model, and there are several.
            UnknownModelError: there is no such model or version.
            ModelRefusedError: it is in the store, and was not loaded.
            UnavailableError: it has been unloaded.
        """
        entry = self._find(name, version)
        if entry.lease is None:
            async with self._changing:
                entry = self._find(name, version)  # it may have changed while this waited
                if entry.lease is None:
                    await self._load(entry)
        entry.used = time.monotonic()
        if entry.lease is None:
            raise ModelRefusedError(entry.refused)
        return Lease(entry.lease.resource)

    async def refresh(self) -> None:
        """Load what is new or changed in the folder, and drop what is no longer in it.

        A bundle is dropped when it is missing twice: replacing a folder takes two steps.

        Raises:
            BundleError: the folder cannot be read.
            DeviceError: the device asked for cannot be used.
        """
        async with self._changing:
            folders = set(await asyncio.to_thread(bundles, self._folder))
            for folder in sorted(folders):
                versions = self._entries.setdefault(folder.parent.name, {})
                entry = versions.setdefault(int(folder.name), Entry(folder))
                entry.missed = 0
                if not entry.unloaded and entry.seen != bundle.fingerprint(folder):
                    await self._load(entry)
            for entry in self._all():
                if entry.folder not in folders:
                    entry.missed += 1
                    if entry.missed > 1:
                        self._forget(entry)

    async def load(self, name: str) -> None:
        """Load a model anew, every version of it that the folder holds.

        Raises:
            UnknownModelError: there is no such model.
            ModelRefusedError: not one version could be loaded.
        """
        for entry in self._entries.get(name, {}).values():
            entry.unloaded, entry.seen = False, None
        await self.refresh()
        versions = self._versions(name)
        if all(entry.model is None for entry in versions.values()):
            raise ModelRefusedError(versions[max(versions)].refused)

    async def unload(self, name: str) -> None:
        """Unload a model until it is loaded by name.

        Raises:
            UnknownModelError: there is no such model.
        """
        async with self._changing:
            for entry in self._versions(name).values():
                entry.unloaded = True
                self._drop(entry)

    def close(self) -> None:
        """Release every model; those that requests hold go with the last of these."""
        for entry in self._all():
            self._drop(entry)
        self._entries.clear()
        self._threads.shutdown(wait=False)

    def _find(self, name: str | None, version: int | None) -> Entry:
        name = name or self.default
        if name is None:
            raise InvalidInputError(f"say which model: one of {', '.join(sorted(self._entries))}")
        versions = self._versions(name)
        if version is None:
            # the newest that answers; else the newest, to say why it does not
            able = {v: e for v, e in versions.items() if e.lease or not (e.refused or e.unloaded)}
            entry = able[max(able)] if able else versions[max(versions)]
        elif version in versions:
            entry = versions[version]
        else:
            raise UnknownModelError(
                f"model {name!r} has no version {version}: there are "
                f"{', '.join(map(str, sorted(versions)))}"
            )
        if entry.unloaded:
            raise UnavailableError(f"model {name!r} has been unloaded")
        if entry.lease is None and entry.refused:
            raise ModelRefusedError(entry.refused)
        return entry

    def _versions(self, name: str) -> dict[int, Entry]:
        if not (versions := self._entries.get(name)):
            raise UnknownModelError(
                f"no model {name!r:.80}: there are {', '.join(sorted(self._entries))}"
            )
        return versions

    def _all(self) -> list[Entry]:
        return [entry for versions in self._entries.values() for entry in versions.values()]

    async def _load(self, entry: Entry) -> None:
        """Load an entry's files; where they are refused, what was loaded before stays."""
        started = time.perf_counter()
        try:
            entry.seen = bundle.fingerprint(entry.folder)
            loading = self._threads.submit(self._loader.load, entry.folder)
            try:
                model = await asyncio.wrap_future(loading)
            except asyncio.CancelledError:
                # The thread loads it all the same, and closes it: the event loop may have ended.
                loading.add_done_callback(_close_unwanted)
                raise
        except DeviceError:
            raise
        except BundleError as error:
            entry.refused = str(error)
        except Exception as error:
            # whatever onnxruntime makes of one bundle must not keep the others from being served
            log.exception("could not load %s", entry.folder)
            entry.refused = f"{entry.folder} could not be loaded: {error}"
        else:
            self._drop(entry)
            entry.lease, entry.refused, entry.used = Lease(model), "", time.monotonic()
            self._loader.metrics.loaded(model.manifest, model.engine.provider)
            seconds, provider = time.perf_counter() - started, model.engine.provider
            log.info("loaded %s on %s, %.2f s", entry.folder, provider, seconds)
            self._make_room(entry)
            return
        log.error("refused %s: %s", entry.folder, entry.refused)

    def _make_room(self, newest: Entry) -> None:
        """Unload models until the rest may stay; the newest always may."""
        loaded = sorted((e for e in self._all() if e.model), key=lambda entry: entry.used)
        size = sum(entry.model.size for entry in loaded if entry.model)
        for entry in loaded:
            if self._memory is None or size <= self._memory:
                break
            if entry is not newest and entry.model:
                log.info("unloaded %s: %d bytes are loaded", entry.folder, size)
                size -= entry.model.size
                self._drop(entry)

    def _forget(self, entry: Entry) -> None:
        log.info("%s is no longer there", entry.folder)
        self._drop(entry)
        name = entry.folder.parent.name
        del self._entries[name][entry.version]
        if not self._entries[name]:
            del self._entries[name]

    def _drop(self, entry: Entry) -> None:
        """Release the store's lease of what is loaded."""
        if (lease := entry.lease) is not None:
            model = lease.resource
            self._loader.metrics.unloaded(model.manifest, model.engine.provider)
            entry.lease = None
            lease.release()


def _close_unwanted(loading: Future[Model]) -> None:
    """Close a model whose load was cancelled."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().engine.close()


def bundles(folder: Path) -> list[Path]:
    """The folders store/<name>/<version>.

    Raises:
        BundleError: the store cannot be read.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no store at {folder}")
    folders = []
    try:
        for path in sorted(p for p in folder.iterdir() if p.is_dir()):
            if not NAME.fullmatch(path.name):
                log.warning("skipped %s: names match %s", path, NAME.pattern)
                continue
            try:
                folders += [path / str(version) for version in bundle.versions(path)]
            except OSError as error:
                log.warning("skipped %s: %s", path, error)
    except OSError as error:
        raise BundleError(f"the store cannot be read: {error}") from None
    return folders
