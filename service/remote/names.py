"""What the names of a store elsewhere mean, of the versions that have been fetched."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Set
from pathlib import Path

from service import bundle
from service.bundle import MAX_NAMES_BYTES, NAMES, BundleError, Names
from service.remote.files import RemoteError, RemoteFiles


class RemoteNames:
    """The files of names in the folder that is kept like a store elsewhere.

    What was taken back is written at once, before a version of its model is there. An alias that
    moves to a version that is not here yet stays with the one before.

    Args:
        files: of the store elsewhere.
        store: the folder.
        partial: a folder on the same disk.
        beat: called now and then.
    """

    def __init__(
        self, files: RemoteFiles, store: Path, partial: Path, beat: Callable[[], None]
    ) -> None:
        self._files = files
        self._store = store
        self._partial = partial
        self._beat = beat
        self._marks: dict[str, str] = {}
        self._wanted: dict[str, Names | bytes] = {}
        self._listed: Set[str] = frozenset()
        self._writing = threading.Lock()

    def fetch(self, marks: dict[str, str]) -> dict[str, RemoteError]:
        """Fetch those that are other ones now; returns which could not be read, and why.

        Args:
            marks: of the listing, by model; a model without one has no names.
        """
        for name in self._marks.keys() - marks.keys():
            del self._marks[name]
            self._wanted.pop(name, None)
        self._listed = frozenset(marks)
        problems: dict[str, RemoteError] = {}
        for name, mark in marks.items():
            if self._marks.get(name) == mark:
                continue
            work = Path(tempfile.mkdtemp(dir=self._partial))
            try:
                folder = work / name
                folder.mkdir()
                self._files.fetch(f"{name}/{NAMES}", folder / NAMES, MAX_NAMES_BYTES, self._beat)
                try:
                    self._wanted[name] = bundle.read_names(folder)
                except BundleError:
                    # as it is: whoever reads the folder knows what to make of it
                    self._wanted[name] = (folder / NAMES).read_bytes()
                self._marks[name] = mark
            except RemoteError as error:
                problems[name] = error
            except BundleError as error:
                problems[name] = RemoteError(str(error))
            except FileNotFoundError as error:
                problems[name] = RemoteError(error.strerror or f"{name}/{NAMES} is missing")
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return problems

    def is_known(self, name: str) -> bool:
        """Whether it is known what a model's versions are called, and which were taken back."""
        known = name in self._wanted or name not in self._listed
        return known or (self._store / name / NAMES).exists()

    def forget(self, names: set[str]) -> None:
        """Forget all models but these."""
        for name in self._wanted.keys() - names:
            del self._wanted[name]
            self._marks.pop(name, None)

    def settle(self, name: str) -> None:
        """Write what is said of a model in the folder, as far as its versions are there."""
        with self._writing:
            folder = self._store / name
            if not folder.is_dir():
                return
            wanted = self._wanted.get(name)
            if wanted is None:
                if name not in self._listed:
                    (folder / NAMES).unlink(missing_ok=True)
                return
            if isinstance(wanted, bytes):
                partial = folder / f".{NAMES}.partial"
                partial.write_bytes(wanted)
                partial.replace(folder / NAMES)
                return
            there = set(bundle.versions(folder))
            try:
                before = bundle.read_names(folder)
            except BundleError:
                before = Names()
            aliases = {}
            for alias, version in wanted.aliases.items():
                meant = version if version in there else before.aliases.get(alias, version)
                if meant in there:
                    aliases[alias] = meant
            names = wanted.model_copy(update={"aliases": aliases})
            if names != before or not (folder / NAMES).exists():
                bundle.write_names(folder, names)
