"""Callers of a server that is being stopped: every request that it takes is to be answered."""

import json
import select
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

KEEPERS, NEWCOMERS = 16, 4
LARGE_ROWS = 60_000


class Callers:
    """Callers that draw samples of a model again and again, until told to go elsewhere.

    Keepers hold one connection each, until an answer says that the server closes it. Newcomers make
    a connection for each request, until none is to be had: through a proxy, which takes connections
    that the server no longer does, that says nothing of the server.

    Args:
        url: of the server.
        model: of which samples are drawn.
        newcomers: whether there are any.
    """

    def __init__(self, url: str, model: str, newcomers: bool) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port
        self._model = model
        self._lock = threading.Lock()
        self.answered = 0
        self.sent_away = 0
        self.lost: list[str] = []
        self._pool = ThreadPoolExecutor()
        calls = [self._keep] * KEEPERS + [self._come_anew] * (NEWCOMERS if newcomers else 0)
        self._callers = [threading.Thread(target=call) for call in calls]
        for caller in self._callers:
            caller.start()

    def ask_large(self) -> Future[int]:
        """Draw a large sample; the result is the number of rows that came."""
        return self._pool.submit(lambda: self._ask(self._connected(), LARGE_ROWS)[0])

    def wait(self, answers: int) -> None:
        """Wait until there are so many answers."""
        while self.answered < answers and not self.lost:
            time.sleep(0.05)

    def end(self) -> None:
        """Wait until every caller has gone elsewhere."""
        for caller in self._callers:
            caller.join()
        self._pool.shutdown()

    def _connected(self) -> HTTPConnection:
        connection = HTTPConnection(self._host, self._port, timeout=60)
        connection.connect()
        return connection

    def _ask(self, connection: HTTPConnection, rows: int) -> tuple[int, bool]:
        """The rows that came, and whether the server closes the connection."""
        body = json.dumps({"model": self._model, "n": rows})
        connection.request("POST", "/sample", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise HTTPException(f"{answer.status}: {content}")
        with self._lock:
            self.answered += 1
        return len(content["x"]), answer.getheader("connection") == "close"

    def _keep(self) -> None:
        try:
            connection, closes = self._connected(), False
            # a keeper that had no CPU for a second was silent, and is closed before it asks again:
            # pools look for that before they send
            while not closes and not select.select([connection.sock], [], [], 0)[0]:
                rows, closes = self._ask(connection, 4)
                assert rows == 4
        except (OSError, HTTPException, ValueError) as error:
            self._lose(error)
            return
        with self._lock:
            self.sent_away += 1

    def _come_anew(self) -> None:
        while True:
            try:
                connection = self._connected()
            except OSError:  # it listens no more
                return
            try:
                self._ask(connection, 4)
            except (OSError, HTTPException, ValueError) as error:
                self._lose(error)
                return
            connection.close()

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self.lost.append(f"{type(error).__name__}: {error}")
