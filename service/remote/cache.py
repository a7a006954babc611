"""The folder in which a store elsewhere is kept: its lock between processes, and its files."""

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from service.remote.address import Address, AddressError

TEMPORARY = "bijecta-store-"
"""What the name of a temporary folder begins with, and that of no other."""


def cache_folder(address: Address, chosen: Path | None, spare: Path | None = None) -> Path:
    """A folder for one store: below the one that was chosen, else below the user's own cache.

    Where the user has none, as in a container, it is below the spare one, or a temporary one.

    Raises:
        AddressError: it cannot be written to.
    """
    whole = f"{address.scheme} {address.root} {address.query}"
    # for people a name, for this program a sum: two stores have no folder in common
    label = re.sub("[^A-Za-z0-9]+", "-", str(address).encode("ascii", "replace").decode())[:60]
    name = f"{label.strip('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
    if chosen is not None:
        try:
            (chosen / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=chosen / name):
                return chosen / name
        except OSError as error:
            raise AddressError(f"--cache {chosen}: {error.strerror}") from None
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "bijecta" / "stores" / name
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        pass
    try:
        if spare is None:
            return Path(tempfile.mkdtemp(prefix=TEMPORARY))
        (spare / name).mkdir(exist_ok=True)
        return spare / name
    except OSError:
        raise AddressError(
            f"there is no folder to keep {address} in: say one that can be written to, --cache"
        ) from None


class CacheLock:
    """Held by the one server that keeps a cache, and by the process that it has started for that.

    Args:
        cache: its folder.
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / "lock"
        self.descriptor = -1
        """Of the file that is locked: a process that has it too holds the lock as well."""

    def take(self) -> bool:
        """Whether it is held from now on, until it is released or the process ends."""
        if self.descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self.descriptor = os.open(self._path, flags, 0o644)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def release(self) -> None:
        """Hold it no more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def are_same(a: Path, b: Path, names: Iterable[str]) -> bool:
    """Whether small files of two folders are the same, and the same are missing."""

    def content(path: Path) -> bytes | None:
        return path.read_bytes() if path.is_file() else None

    return all(content(a / name) == content(b / name) for name in names)


def link(source: Path, target: Path) -> bool:
    """Have a file under another name as well; returns whether it could be."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def sync(path: Path) -> None:
    """Have a file on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
