"""The states of watches in a folder, which a server finds again after it has been started anew.

<folder>/process-<n>/<model>.<version>   a state, written whole or not at all
<folder>/process-<n>/lock                locked by the process that writes there

Each process that uses the folder watches a stream of its own, in a part of the folder of its own:
the first that no other process of the machine holds.
"""

import fcntl
import hashlib
import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import orjson

from service.bundle import printable
from service.watching.martingales import State

log = logging.getLogger(__name__)

MAX_PROCESSES = 256
MAX_BYTES = 2**24

MARK = b"bijecta watch 1\n"
"""What a file begins with; another format has another number."""


class Kept(NamedTuple):
    """What is kept of a watch.

    Args:
        about: whose it is, and when.
        state: of its test.
    """

    about: dict[str, Any]
    state: State


class StateFolder:
    """A process's part of a folder of states.

    Args:
        part: which this process alone writes to.
        lock: descriptor of its lock, held as long as this is.
    """

    def __init__(self, part: Path, lock: int) -> None:
        self._part = part
        self._lock = lock

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """The first part that is free; None, said in the log, where there is none to write to."""
        try:
            for number in range(MAX_PROCESSES):
                part = folder / f"process-{number}"
                part.mkdir(parents=True, exist_ok=True)
                lock = os.open(part / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                except OSError:  # the file system has no locks
                    pass
                return cls(part, lock)
        except OSError as error:
            log.error("watch_folder %s: %s; no state is kept", folder, error.strerror)
            return None
        log.error("watch_folder %s: %d processes use it; no state is kept", folder, MAX_PROCESSES)
        return None

    def read(self, name: str, version: int) -> Kept | None:
        """What is kept of a model's version; None where nothing is.

        Raises:
            ValueError: what is there is damaged, or of another format.
        """
        try:
            with (self._part / f"{name}.{version}").open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(error.strerror) from None
        if not content.startswith(MARK) or len(content) > MAX_BYTES:
            raise ValueError("it is no state of a watch that this version reads")
        start = len(MARK) + hashlib.sha256().digest_size
        body = content[start:]
        if hashlib.sha256(body).digest() != content[len(MARK) : start]:
            raise ValueError("it is damaged: its checksum is another")
        try:
            with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
                state = dict(arrays)
            about = orjson.loads(state.pop("about").tobytes())
        except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"it is damaged: {printable(str(error))}") from None
        if not isinstance(about, dict):
            raise ValueError("it is damaged: it does not say whose it is")
        return Kept(about, state)

    def write(self, name: str, version: int, kept: Kept) -> None:
        """Keep a state of a model's version in place of the one before.

        Raises:
            OSError: it cannot be written.
        """
        body = io.BytesIO()
        about = np.frombuffer(orjson.dumps(kept.about), np.uint8)
        arrays: dict[str, Any] = {**kept.state, "about": about}
        np.savez(body, **arrays)
        digest = hashlib.sha256(body.getbuffer()).digest()
        partial = self._part / f".{name}.{version}.partial"
        with partial.open("wb") as file:
            file.write(MARK + digest)
            file.write(body.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._part / f"{name}.{version}")

    def close(self) -> None:
        """Leave the part to other processes."""
        os.close(self._lock)
