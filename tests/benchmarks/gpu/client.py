"""Requests in npy over some connections, as fast as they are answered.

    python -m tests.benchmarks.gpu.client PORT PATH CONNECTIONS SECONDS [BODY]

prints how many were answered in a second. BODY is a file in npy, sent with each. It imports no
numpy, and reads answers into memory that it has.
"""

import http.client
import sys
import threading
import time
from pathlib import Path

NPY = "application/x-npy"


class Caller:
    """One connection.

    Args:
        port: of the server.
        path: that is asked, with its query.
        body: of each request.
    """

    def __init__(self, port: int, path: str, body: bytes) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._path, self._body = path, body
        self._headers = {"Accept": NPY} | ({"Content-Type": NPY} if body else {})
        self._answer = bytearray()
        self.answered: list[float] = []
        """When, in seconds."""

    def ask(self) -> None:
        """Ask once.

        Raises:
            RuntimeError: the answer is another than 200.
        """
        self._connection.request("POST", self._path, self._body, self._headers)
        answer = self._connection.getresponse()
        length = answer.length
        if answer.status != 200 or length is None:
            raise RuntimeError(f"{self._path} answered {answer.status}: {answer.read()[:300]!r}")
        if len(self._answer) < length:
            self._answer = bytearray(length)
        view, at = memoryview(self._answer), 0
        while at < length:
            at += answer.readinto(view[at:length])
        answer.read()
        self.answered.append(time.perf_counter())

    def ask_until(self, end: float) -> None:
        """Ask again and again."""
        while time.perf_counter() < end:
            self.ask()


def rate(port: int, path: str, connections: int, seconds: float, body: bytes) -> float:
    """Requests a second, after as long that does not count."""
    callers = [Caller(port, path, body) for _ in range(connections)]
    callers[0].ask()
    start = time.perf_counter() + seconds
    end = start + seconds
    threads = [threading.Thread(target=caller.ask_until, args=(end,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [at for caller in callers for at in caller.answered if at >= start]
    if len(times) < 2:
        raise RuntimeError(f"{path}: {len(times)} answers in {seconds} s")
    return len(times) / (max(times) - start)


def main() -> int:
    port, path, connections, seconds = sys.argv[1:5]
    body = Path(sys.argv[5]).read_bytes() if len(sys.argv) > 5 else b""
    print(rate(int(port), path, int(connections), float(seconds), body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
