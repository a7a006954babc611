"""One process trains a run at a time: the state and the log of two would be mixed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from training.errors import RunError


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Hold RUN/train.lock, whose holder's process is named in RUN/train.pid.

    The system gives the lock back when its holder ends, however that comes about.

    Raises:
        RunError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / "train.lock"), folder / "train.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            process = f"process {holder.read_text()}"
        except OSError:
            process = "another process"
        raise RunError(
            f"{folder} is being trained by {process}: wait for it, or choose another --out"
        ) from None
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
