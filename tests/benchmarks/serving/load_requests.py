"""The requests of a load, and whether their answers are right."""

import io
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import onnxruntime

from service.types import Float32

TYPE = "application/x-npy"
BODIES = 16
# Nats that an answer may be off, as in the comparison with other servers.
TOLERANCE = 1e-3
# a proxy of the environment has no business here
OPENER = build_opener(ProxyHandler({}))


class WrongAnswerError(Exception):
    """A server that answers fast and not right."""


@dataclass(frozen=True)
class Requests:
    """Different requests for the log-density of some rows in npy, which a load repeats in turn.

    Args:
        port: of the server, on this machine.
        dimensions: of a row.
        rows: of a request.
    """

    port: int
    dimensions: int
    rows: int

    @cached_property
    def inputs(self) -> list[Float32]:
        """The rows of each."""
        draw = np.random.default_rng(self.rows).standard_normal
        shape = (self.rows, self.dimensions)
        return [draw(shape, dtype=np.float32) for _ in range(BODIES)]

    @property
    def encoded(self) -> list[bytes]:
        """Each as it goes over a connection that is kept."""
        found = []
        for x in self.inputs:
            body = _npy(x)
            head = (
                f"POST /log_prob HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Content-Type: {TYPE}\r\nAccept: {TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            found.append(head.encode() + body)
        return found

    @property
    def answer_bytes(self) -> int:
        """How long the body of an answer is."""
        return len(_npy(np.zeros(self.rows, np.float32)))

    def ask_all(self, patience: float = 60) -> list[bytes]:
        """The answer to each, asked for together: they share batches.

        Args:
            patience: seconds for which refusals are waited out: a queue may still be full.
        """
        with ThreadPoolExecutor(BODIES) as pool:
            return list(pool.map(lambda x: self._ask(x, time.monotonic() + patience), self.inputs))

    def _ask(self, x: Float32, until: float) -> bytes:
        url, headers = f"http://127.0.0.1:{self.port}/log_prob", {"Content-Type": TYPE}
        while True:
            try:
                with OPENER.open(Request(url, _npy(x), headers), timeout=60) as answer:
                    content: bytes = answer.read()
                    return content
            except HTTPError as error:
                if error.code != 429 or time.monotonic() > until:
                    raise
            time.sleep(0.5)


class Oracle:
    """What onnxruntime answers to the same rows.

    Args:
        requests: whose.
        graph: the model's file.
    """

    def __init__(self, requests: Requests, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._right = [session.run(["log_prob"], {"x": x})[0] for x in requests.inputs]

    def worst(self, answers: Iterable[tuple[int, bytes]]) -> float:
        """By how many nats an answer is off at most.

        Args:
            answers: the number of a request, and the body of its answer.

        Raises:
            WrongAnswerError: by more than allowed.
        """
        worst = 0.0
        for index, body in answers:
            found, right = np.load(io.BytesIO(body)), self._right[index % BODIES]
            if found.shape != right.shape:
                raise WrongAnswerError(f"an answer of shape {found.shape}, not {right.shape}")
            off = float(np.abs(found - right).max())
            if not off <= TOLERANCE:
                raise WrongAnswerError(f"log_prob is off by {off} nats")
            worst = max(worst, off)
        return worst


def _npy(array: Float32) -> bytes:
    # numpy's own writer: the service's is among what is tested
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
