"""Looking through the folder of a store: how far, and what is passed over."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from service import bundle
from service.bundle import MANIFEST, NAME, BundleError, Fingerprint, Names

MAX_ENTRIES = 10_000
"""Files and folders of the store, and of each model's folder."""
MAX_BUNDLES = 10_000
"""Bundles in all."""

# What a disk's own top folder holds, where nothing has been put into it.
OF_THE_DISK = "lost+found"

T = TypeVar("T")


@dataclass(frozen=True)
class FoundBundle:
    """A bundle that was found.

    Args:
        folder: store/<name>/<version>, or any where it is served alone.
        fingerprint: what its files are.
    """

    folder: Path
    fingerprint: Fingerprint


@dataclass
class Found:
    """What is in the folder of a store.

    Args:
        bundles: each one, by name and version.
        names: what the names of each model's versions mean, or why that cannot be read.
        unknown: names of models whose folders could not be looked through.
        skipped: what was passed over, by name, and why.
        has_folders: whether it holds any folder at all.
    """

    bundles: dict[tuple[str, int], FoundBundle] = field(default_factory=dict)
    names: dict[str, Names | BundleError] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    has_folders: bool = False

    @property
    def content(self) -> object:
        """What is the same as long as the bundles and their names are."""
        return self.bundles, {name: repr(names) for name, names in self.names.items()}

    def is_lost(self, known: int) -> bool:
        """Whether all of so many models that were known is gone at once, as from a lost mount."""
        return not self.bundles and (not self.has_folders or known > 1)


class _TooManyError(Exception):
    """More entries than are looked at."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_ENTRIES} entries")


def look_through(folder: Path) -> Found:
    """The bundles of a store, folders of two levels and so many of each; or the one that it is.

    Raises:
        BundleError: the store cannot be looked through; the text names no path.
    """
    try:
        entries = _entries(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError("there is no store at the path given") from None
    except OSError as error:
        raise bundle.read_error("the store", error) from None
    except _TooManyError as error:
        raise BundleError(f"the store cannot be read: it has {error}") from None
    if MANIFEST in [entry.name for entry in entries]:
        return _alone(folder.absolute())
    found = Found()
    for entry in entries:
        try:
            if not entry.is_dir():
                continue
            found.has_folders |= entry.name != OF_THE_DISK
            if NAME.fullmatch(entry.name):
                _add_versions(found, folder / entry.name)
            else:
                found.skipped[entry.name] = f"names match {NAME.pattern}"
        except (OSError, _TooManyError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            found.skipped[entry.name] = why or type(error).__name__
            found.unknown.add(entry.name)
    numbers = [entry.name for entry in entries if bundle.is_version(entry.name)]
    if not found.bundles and any(any(bundle.fingerprint(folder / n)) for n in numbers):
        raise BundleError("the store is the folder of one model; expected the one above it")
    return found


def _alone(folder: Path) -> Found:
    """A bundle that is served alone, under the name and version that its manifest states."""
    name, version = bundle.read_identity(folder)
    one = FoundBundle(folder, bundle.fingerprint(folder))
    return Found({(name, version): one}, {name: Names()}, has_folders=True)


def _add_versions(found: Found, folder: Path) -> None:
    """Add the bundles of one model, whose files are looked at and not read."""
    # the names first: a version is exported before it is named, and unnamed before it is removed
    try:
        said: Names | BundleError = bundle.read_names(folder)
    except BundleError as error:
        said = error
    names = [entry.name for entry in _entries(folder)]
    versions = sorted(int(name) for name in names if bundle.is_version(name))
    if len(found.bundles) + len(versions) > MAX_BUNDLES:
        found.skipped[folder.name] = f"the store has more than {MAX_BUNDLES} bundles"
        found.unknown.add(folder.name)
        return
    for version in versions:
        path = folder / str(version)
        found.bundles[folder.name, version] = FoundBundle(path, bundle.fingerprint(path))
    found.names[folder.name] = said
    for name in names:
        if name.isdecimal() and not bundle.is_version(name):
            found.skipped[f"{folder.name}/{name}"] = "versions are whole numbers from 1 below 2^63"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    entries: list[os.DirEntry[str]] = []
    with os.scandir(folder) as scanned:
        for entry in scanned:
            if len(entries) == MAX_ENTRIES:
                raise _TooManyError
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry.name)


def in_daemon_thread(name: str, call: Callable[[], T]) -> Future[T]:
    """The outcome of a call in a thread of its own, which the end of the process does not wait for.

    A file system that has gone may answer never.
    """
    future: Future[T] = Future()

    def run() -> None:
        # who has cancelled the future asks for nothing any more
        with suppress(Exception):
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
