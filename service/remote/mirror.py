"""A folder that is kept like a store elsewhere: whole versions alone, each in place at once.

CACHE/store/<name>/<version>   what the server loads
CACHE/files/<sha256>           the same files by their sums, so that none is fetched twice
CACHE/partial/                 what is being fetched
CACHE/marks.json               what the store's listing said of the versions in CACHE/store
"""

import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import bundle
from service.bundle import MANIFEST, MAX_MANIFEST_BYTES, NAMES, SIGNATURE, BundleError
from service.remote.cache import are_same, link, sync
from service.remote.files import Listed, Listing, RemoteError, RemoteFiles
from service.remote.names import RemoteNames

MAX_FILE_BYTES = 2**31
MAX_BUNDLE_BYTES = 2**33
FREE_BYTES = 2**28
"""Left free on the disk of the cache."""

# Versions that are fetched at a time; most of the time of each is the way to the store and back.
FETCHERS = 8

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
"""Seconds until a version that was refused is fetched again although the listing is the same."""

SHA256 = re.compile("[0-9a-f]{64}")

Key = tuple[str, int]


@dataclass(frozen=True)
class _Refused:
    """A version that was not taken.

    Args:
        mark: of its files.
        pause: seconds until the next try.
        next_try: when that is.
    """

    mark: str
    pause: float
    next_try: float


class Mirror:
    """One store elsewhere, and its folder.

    Args:
        files: of the store.
        cache: folder for it alone.
        tell: told what happens: `took`, `removed`, `refused`, `whole` or `skipped`, and of what.
        beat: called now and then while it works.
    """

    def __init__(
        self,
        files: RemoteFiles,
        cache: Path,
        tell: Callable[..., None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._files = files
        self._tell = tell
        self._beat = beat
        self._store, self._sums = cache / "store", cache / "files"
        self._partial, self._marks_file = cache / "partial", cache / "marks.json"
        shutil.rmtree(self._partial, ignore_errors=True)  # of a process that was ended
        for folder in (self._store, self._sums, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        self._names = RemoteNames(files, self._store, self._partial, beat)
        self._marks = self._read_marks()
        self._refused: dict[Key, _Refused] = {}
        self._reasons: dict[str, str] = {}
        self._missed: set[Key] = set()
        self._linking = threading.Lock()

    def look(self) -> None:
        """Make the folder like the store is now.

        What is not whole, or cannot be fetched, is left as it was.

        Raises:
            RemoteError: the store cannot be read, or all is gone at once.
            OSError: the folder cannot be written to.
        """
        listing = self._files.listing(self._beat)
        if self._marks and not listing.versions:
            raise RemoteError("no bundle is left in the store; what was taken stays")
        for where, why in listing.skipped.items():
            self._say_refused(where, why)
        unreadable = self._names.fetch(listing.names)
        for name, problem in unreadable.items():
            self._say_refused(f"{name}/{NAMES}", str(problem))
        now = time.monotonic()
        due = [
            (key, listed)
            for key, listed in listing.versions.items()
            if self._is_due(key, listed, now) and self._names.is_known(key[0])
        ]
        # the newest of each model first, as they are asked for
        ranks = _ranks(listing)
        due.sort(key=lambda each: ranks[each[0]])
        failures = [*unreadable.values()]
        with ThreadPoolExecutor(FETCHERS) as fetchers:
            for failure in fetchers.map(lambda each: self._take(*each), due):
                failures += [failure] if isinstance(failure, RemoteError) else []
        self._remove_gone(listing)
        for name in {name for name, _ in self._marks}:
            self._names.settle(name)
        refused = {f"{name}/{version}" for name, version in self._refused}
        refused |= listing.skipped.keys() | {f"{name}/{NAMES}" for name in unreadable}
        for where in self._reasons.keys() - refused:
            del self._reasons[where]  # it is said anew where it comes back
        self._remove_unused()
        self._write_marks()
        if failures:
            raise failures[0]

    @property
    def held(self) -> int:
        """How many versions the folder has."""
        return len(self._marks)

    @property
    def refused(self) -> int:
        """How many versions of the store it has not, or has an earlier one in place of."""
        return len(self._refused)

    def _is_due(self, key: Key, listed: Listed, now: float) -> bool:
        if self._marks.get(key) == listed.mark:
            return False
        refused = self._refused.get(key)
        return refused is None or refused.mark != listed.mark or refused.next_try <= now

    def _take(self, key: Key, listed: Listed) -> RemoteError | None:
        """Fetch a version and put it in its place; returns why the store could not be read."""
        name, version = key
        where, work = f"{name}/{version}", Path(tempfile.mkdtemp(dir=self._partial))
        before, started = self._refused.get(key), time.monotonic()
        try:
            folder = work / name / str(version)
            folder.mkdir(parents=True)
            size = self._fetch(folder, key, listed)
            if size is not None:
                self._publish(folder, self._store / name / str(version), work / "before")
            self._marks[key] = listed.mark
            self._refused.pop(key, None)
            self._names.settle(name)
            if size is not None:
                self._tell("took", where=where, bytes=size, seconds=time.monotonic() - started)
        except RemoteError as error:
            return error
        except (BundleError, FileNotFoundError) as error:
            is_same = before is not None and before.mark == listed.mark
            pause = min(2 * before.pause if before and is_same else FIRST_PAUSE, LONGEST_PAUSE)
            self._refused[key] = _Refused(listed.mark, pause, time.monotonic() + pause)
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._say_refused(where, why or type(error).__name__)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return None

    def _fetch(self, folder: Path, key: Key, listed: Listed) -> int | None:
        """Fetch a version and check it; returns its bytes, or None where it is here already."""
        where = f"{key[0]}/{key[1]}"
        sizes = listed.sizes
        self._check_room(where, listed)
        self._files.fetch(f"{where}/{MANIFEST}", folder / MANIFEST, MAX_MANIFEST_BYTES, self._beat)
        manifest = bundle.read_manifest(folder)
        self._fetch_signature(folder, where, listed)
        if are_same(self._store / where, folder, (MANIFEST, SIGNATURE)):
            return None
        if sizes is not None and (missing := sorted(manifest.files.keys() - sizes.keys())):
            raise BundleError(f"{where}/{missing[0]} is missing")
        left = MAX_BUNDLE_BYTES
        for file, expected in manifest.files.items():
            known = self._sums / expected
            if SHA256.fullmatch(expected) and link(known, folder / file):
                continue
            most = min(left, MAX_FILE_BYTES)
            self._files.fetch(f"{where}/{file}", folder / file, most, self._beat)
            left -= (folder / file).stat().st_size
        try:
            bundle.read(folder, self._beat, key)
        except BundleError:
            for expected in manifest.files.values():
                if SHA256.fullmatch(expected):
                    (self._sums / expected).unlink(missing_ok=True)  # it may be what is altered
            raise
        with self._linking:
            for file, expected in manifest.files.items():
                link(folder / file, self._sums / expected)
        return sum(path.stat().st_size for path in folder.iterdir())

    def _fetch_signature(self, folder: Path, where: str, listed: Listed) -> None:
        """Fetch the signature of a version that has one."""
        if listed.sizes is None or SIGNATURE in listed.sizes:
            to, path = folder / SIGNATURE, f"{where}/{SIGNATURE}"
            try:
                self._files.fetch(path, to, bundle.MAX_SIGNATURE_BYTES, self._beat)
            except FileNotFoundError:
                to.unlink(missing_ok=True)

    def _check_room(self, where: str, listed: Listed) -> None:
        size = sum((listed.sizes or {}).values())
        if size > MAX_BUNDLE_BYTES:
            raise BundleError(f"{where} has {size} bytes, and may have {MAX_BUNDLE_BYTES}")
        free = shutil.disk_usage(self._partial).free - FREE_BYTES
        if size > free:
            raise BundleError(f"{where} has {size} bytes, and the cache has room for {free}")

    def _publish(self, folder: Path, place: Path, before: Path) -> None:
        """Put a version in its place; another one that is there goes first."""
        for path in folder.iterdir():
            sync(path)
        place.parent.mkdir(exist_ok=True)
        self._names.settle(place.parent.name)  # what is withdrawn is known before it is there
        if place.exists():
            place.rename(before)
        folder.rename(place)

    def _remove_gone(self, listing: Listing) -> None:
        """Remove what the store has no longer, when that is seen the second time."""
        gone = set(self._marks.keys() - listing.versions.keys())
        for name, version in gone & self._missed:
            place, work = (
                self._store / name / str(version),
                Path(tempfile.mkdtemp(dir=self._partial)),
            )
            if place.exists():
                place.rename(work / "gone")
            shutil.rmtree(work, ignore_errors=True)
            del self._marks[name, version]
            self._tell("removed", where=f"{name}/{version}")
        self._missed = gone & self._marks.keys()
        for key in self._refused.keys() - listing.versions.keys():
            del self._refused[key]
        names = {name for name, _ in self._marks}
        for folder in self._store.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)
        self._names.forget(names)

    def _remove_unused(self) -> None:
        """Remove files that no version has."""
        for path in self._sums.iterdir():
            if path.stat().st_nlink == 1:
                path.unlink(missing_ok=True)

    def _say_refused(self, where: str, why: str) -> None:
        if self._reasons.get(where) != why:
            self._reasons[where] = why
            self._tell("refused", where=where, reason=why)

    def _read_marks(self) -> dict[Key, str]:
        """The marks of what the folder has; a version without one is fetched again."""
        try:
            said: dict[str, Any] = json.loads(self._marks_file.read_bytes())
        except (OSError, ValueError):
            said = {}
        marks: dict[Key, str] = {}
        for folder in self._store.iterdir():
            for version in bundle.versions(folder):
                marks[folder.name, version] = str(said.get(f"{folder.name}/{version}", ""))
        return marks

    def _write_marks(self) -> None:
        said = {f"{name}/{version}": mark for (name, version), mark in self._marks.items()}
        partial = self._partial / self._marks_file.name
        partial.write_text(json.dumps(said))
        partial.replace(self._marks_file)


def _ranks(listing: Listing) -> dict[Key, tuple[int, str]]:
    """The place of each version in the order of fetching: how many of its model are newer."""
    ranks: dict[Key, tuple[int, str]] = {}
    seen: dict[str, int] = {}
    for name, version in sorted(listing.versions, reverse=True):
        seen[name] = rank = seen.get(name, -1) + 1
        ranks[name, version] = rank, name
    return ranks
