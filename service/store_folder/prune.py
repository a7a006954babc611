"""Removing versions of a model that nobody needs any more."""

import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service import bundle
from service.store_folder.folder_lock import changing, claimed
from service.store_folder.versions import current, folder_bytes, written

# What a version is called while its files are removed.
PRUNED = ".pruned-"


@dataclass(frozen=True)
class Keep:
    """Which versions stay, beside the current one and those that aliases point to.

    Args:
        newest: so many of the newest, at least 1: a number that was given is not given again.
        seconds: those written less than so long ago.
    """

    newest: int
    seconds: float


@dataclass(frozen=True)
class Removed:
    """A version that was removed, or was not.

    Args:
        version: its number.
        bytes: of its files.
        reason: why it was not removed, or empty.
    """

    version: int
    bytes: int
    reason: str = ""


def removable(folder: Path, keep: Keep) -> list[int]:
    """The versions in store/<name> that are not to be kept, the oldest first.

    Raises:
        BundleError: it cannot be read which versions are named.
    """
    names, versions = bundle.read_names(folder), bundle.versions(folder)
    kept = {*versions[-keep.newest :], *names.aliases.values(), current(folder, names)}
    oldest = time.time() - keep.seconds
    return [v for v in versions if v not in kept and written(folder / str(v)) <= oldest]


def remove(folder: Path, chosen: list[int], keep: Keep) -> Iterator[Removed]:
    """Remove versions in store/<name>, but for those that have come to be kept meanwhile.

    Each is renamed before its files are removed, so that nobody ever finds half a bundle.

    Args:
        folder: store/<name>.
        chosen: what `removable` returned.
        keep: the same.

    Raises:
        BundleError: it cannot be read which versions are named.
        OSError: the folder cannot be written to.
    """
    with changing(folder):
        for leftover in folder.glob(f"{PRUNED}*"):  # of a command that was ended
            _remove_folder(leftover)
        still = removable(folder, keep)
        for version in chosen:
            path = folder / str(version)
            size = folder_bytes(path)
            if version not in still:
                yield Removed(version, size, "it has come to be kept")
                continue
            with claimed(path) as is_free:
                if not is_free:
                    yield Removed(version, size, "a server is loading it")
                    continue
                pruned = path.rename(folder / f"{PRUNED}{version}-{secrets.token_hex(4)}")
            _remove_folder(pruned)
            yield Removed(version, size)
        names = bundle.read_names(folder)
        left = names.withdrawn & frozenset(bundle.versions(folder))
        if left != names.withdrawn:
            bundle.write_names(folder, names.model_copy(update={"withdrawn": left}))


def _remove_folder(path: Path) -> None:
    """Remove a folder, or a link to one and not what it leads to."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
