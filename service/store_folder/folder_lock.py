"""Locks of folders between processes of one machine; where the file system has none, none are held.

A server holds a shared lock of a bundle while it loads it, and `bijecta store prune` an exclusive
one while it removes it. The commands that change what a model's names mean hold one of its folder.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bundle import BundleError

WAIT_SECONDS = 10.0
"""How long a command waits for another one."""

BUSY = (errno.EACCES, errno.EAGAIN)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a bundle from being pruned, if it is not about to be."""
    descriptor = _opened(folder)
    try:
        _try_lock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        _close(descriptor)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Keep a bundle from being loaded; yields whether nobody is loading it now."""
    descriptor = _opened(folder)
    try:
        yield _try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        _close(descriptor)


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Keep other commands from changing a model's folder.

    Raises:
        BundleError: another command did not end in `WAIT_SECONDS`.
    """
    descriptor, end = _opened(folder), time.monotonic() + WAIT_SECONDS
    try:
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise BundleError(f"{folder.name} is being changed by another `bijecta store`")
            time.sleep(0.05)
        yield
    finally:
        _close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # whoever asks finds out by itself
        return None


def _try_lock(descriptor: int | None, kind: int) -> bool:
    """Whether a lock is held, or cannot be."""
    if descriptor is not None:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in BUSY
    return True


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
