"""The versions of a store's models, as the files say: which are whole, and what they achieved.

A server may know more: it refuses a bundle that gives other numbers on its device than it should.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service import bundle
from service.bundle import MANIFEST, NAME, AnyManifest, BundleError, Names


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Args:
        folder: store/<name>/<version>.
        manifest: what it says of itself; None where the bundle is broken.
        problem: why it is broken, or empty.
        is_current: whether the model's name alone means it.
        is_withdrawn: whether it was taken back.
        aliases: that point to it.
    """

    folder: Path
    manifest: AnyManifest | None
    problem: str
    is_current: bool
    is_withdrawn: bool
    aliases: tuple[str, ...]

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.folder.name)

    @property
    def bytes(self) -> int:
        """Of its files."""
        return folder_bytes(self.folder)

    @property
    def written(self) -> datetime:
        """When its manifest was written, or else its folder."""
        return datetime.fromtimestamp(written(self.folder), UTC)

    def to_json(self) -> dict[str, Any]:
        """What `--json` says of it."""
        fields = {"family", "base", "event_shape", "data", "held_out", "made_with"}
        said = self.manifest.model_dump(include=fields) if self.manifest else {}
        return {
            "version": self.number,
            "current": self.is_current,
            "withdrawn": self.is_withdrawn,
            "aliases": list(self.aliases),
            "problem": self.problem or None,
            "bytes": self.bytes,
            "written": self.written.isoformat(timespec="seconds"),
            **said,
        }


def numbers(store: Path, name: str) -> list[int]:
    """The versions that a store has of a model, the newest first.

    Raises:
        BundleError: there is no such model.
    """
    found = bundle.versions(store / name) if NAME.fullmatch(name) else []
    if not found:
        raise BundleError(f"there is no model {name!r:.80} in {store}")
    return found[::-1]


def read_versions(
    folder: Path, names: Names | None, read: Callable[[Path], AnyManifest] = bundle.read
) -> Iterator[Version]:
    """Every version in store/<name>, the newest first, each with all of its files read.

    Args:
        folder: store/<name>.
        names: what names mean; None where that cannot be read, and no version is current.
        read: gives the manifest of a version, or raises BundleError where it is broken.
    """
    is_current_still_to_come = names is not None
    names = names or Names()
    for number in bundle.versions(folder)[::-1]:
        manifest, problem = None, ""
        try:
            manifest = read(folder / str(number))
        except BundleError as error:
            problem = str(error)
        is_withdrawn = number in names.withdrawn
        is_current = is_current_still_to_come and not (problem or is_withdrawn)
        is_current_still_to_come &= not is_current
        aliases = tuple(sorted(alias for alias, v in names.aliases.items() if v == number))
        yield Version(folder / str(number), manifest, problem, is_current, is_withdrawn, aliases)


def newest_whole(folder: Path, candidates: Sequence[int]) -> int | None:
    """The largest of some versions in store/<name> whose files are whole; None where none is."""
    for number in sorted(candidates, reverse=True):
        try:
            bundle.read(folder / str(number))
        except BundleError:
            continue
        return number
    return None


def version_of_weights(folder: Path, sha256: str) -> int | None:
    """The newest whole version in store/<name> that has weights of this checksum; None without."""
    for number in reversed(bundle.versions(folder)):
        try:
            if bundle.read(folder / str(number)).weights_sha256 == sha256:
                return number
        except BundleError:
            continue
    return None


def current(folder: Path, names: Names) -> int | None:
    """The version that the name of the model in store/<name> means; None where none is whole."""
    return newest_whole(folder, [v for v in bundle.versions(folder) if v not in names.withdrawn])


def named_folder(path: Path) -> Path | None:
    """The folder of a bundle: store/NAME/VERSION, or what store/NAME or store/NAME@ALIAS means.

    Where no version is whole it is the newest: whoever reads it says what is wrong with it.

    Returns:
        The folder, or None where there is no bundle.

    Raises:
        BundleError: there is no such alias, or all versions are withdrawn.
    """
    there = path.resolve()
    if (there / MANIFEST).exists():
        return there
    name, at, alias = there.name.partition("@")
    folder = there.with_name(name) if name else there
    candidates = bundle.versions(folder)
    if not candidates:
        return None
    names = bundle.read_names(folder)
    if at:
        version, missing = names.aliases.get(alias), f"there is no alias {alias!r:.80}"
    else:
        kept = [number for number in candidates if number not in names.withdrawn]
        version = newest_whole(folder, kept) or max(kept, default=None)
        missing = "all versions are withdrawn"
    if version is None:
        raise BundleError(f"{path}: {missing}")
    return folder / str(version)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    try:
        return sum(path.lstat().st_size for path in folder.iterdir() if path.is_file())
    except OSError:
        return 0


def written(folder: Path) -> float:
    """When the manifest in a folder was written, or else the folder, in seconds of the epoch."""
    for path in (folder / MANIFEST, folder):
        try:
            return path.lstat().st_mtime
        except OSError:
            continue
    return 0.0
