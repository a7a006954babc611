"""The process that keeps a folder like a store elsewhere: `python -m service.remote`.

It reads what it is to do as one line of JSON from its input, and writes what happens as lines of
JSON. Every further line has it look at once; it ends with its input, so that it outlives nobody.
"""

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from service.bundle import printable
from service.remote.address import parse
from service.remote.files import RemoteError
from service.remote.index import files_of
from service.remote.mirror import Mirror
from service.store_folder import folder_bytes

MAX_BYTES = 2**31
"""Memory of this process: a listing of many thousand versions has some hundred MB."""

# A line is written at least so often, so that whoever reads them knows a process that hangs.
BEAT_SECONDS = 5.0
# After a look that failed it is tried again after so long, and after twice that the next time.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
# How often a store is looked at that has nothing yet.
LOOK_SECONDS = 5.0


class _Said:
    """Writes what happens, a line each."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._last = 0.0

    def tell(self, event: str, **said: Any) -> None:
        with self._writing:
            self._last = time.monotonic()
            sys.stdout.write(json.dumps({"event": event, **said}) + "\n")
            sys.stdout.flush()

    def beat(self) -> None:
        if time.monotonic() > self._last + BEAT_SECONDS / 2:
            self.tell("beat")


def main() -> None:
    """Keep a folder like a store, until the input ends."""
    said, wake = _Said(), threading.Event()
    asked = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
    cache, every = Path(asked["cache"]), float(asked["every"])
    address, pause = parse(asked["address"]), FIRST_PAUSE
    assert address is not None
    mirror = None
    for target, arguments in ((_listen, (wake,)), (_beat_with_bytes, (cache, said))):
        threading.Thread(target=target, args=arguments, daemon=True).start()
    while True:
        wake.clear()
        try:
            said.tell("looking")
            if mirror is None:
                mirror = Mirror(files_of(address), cache, said.tell, said.beat)
            mirror.look()
            said.tell("looked", held=mirror.held, refused=mirror.refused)
        except (RemoteError, OSError, MemoryError) as error:
            held = mirror.held if mirror else 0
            said.tell("failed", **_reason(error), held=held)
            _sleep(pause, wake, said)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        pause = FIRST_PAUSE
        if not every and mirror.held:
            return
        _sleep(every or LOOK_SECONDS, wake, said)


def _reason(error: Exception) -> dict[str, Any]:
    if isinstance(error, RemoteError):
        return {"reason": str(error), "lasts": error.lasts}
    if isinstance(error, MemoryError):
        return {"reason": f"its listing takes more than {MAX_BYTES} bytes", "lasts": False}
    assert isinstance(error, OSError)
    why = printable(error.strerror or type(error).__name__, 200)
    return {"reason": f"the cache cannot be written: {why}", "lasts": False}


def _listen(wake: threading.Event) -> None:
    for _ in sys.stdin:
        wake.set()
    os._exit(0)


def _beat_with_bytes(cache: Path, said: _Said) -> None:
    """Say that something comes as long as it does: a large file may take hours."""
    before = 0
    while True:
        time.sleep(BEAT_SECONDS / 2)
        now = sum(folder_bytes(folder) for folder in (cache / "partial").glob("*/*/*"))
        if now != before:
            said.beat()
        before = now


def _sleep(seconds: float, wake: threading.Event, said: _Said) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not wake.wait(min(left, BEAT_SECONDS)):
        said.beat()


if __name__ == "__main__":
    main()
