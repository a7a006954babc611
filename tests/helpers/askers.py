"""Clients that ask by name, and a server that answers by a script."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bijecta_client import (
    AsyncClient,
    Client,
)

DIGITS = load_digits().data[:20]


X = np.array([[0.5, 0.5], [1, -0.5]], np.float32)


HEADER = "Inference-Header-Content-Length"


H = TypeVar("H")


Handler = Callable[[httpx.Request], httpx.Response]


class Asker:
    """One client, blocking or not; its answers are those of the methods called by name."""

    def __init__(self, kind: str, url: str, script: Handler | None = None, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        self.client: Any
        if self._runner is not None:
            self.client = AsyncClient(url, http=_http(httpx.AsyncClient, script), **options)
        else:
            self.client = Client(url, http=_http(httpx.Client, script), **options)

    def __call__(self, question: str, *arguments: Any, **options: Any) -> Any:
        asked = getattr(self.client, question)(*arguments, **options)
        return asked if self._runner is None else self._runner.run(asked)

    def close(self) -> None:
        self("close")
        if self._runner is not None:
            self._runner.close()


def _http(kind: Callable[..., H], script: Handler | None) -> H | None:
    return None if script is None else kind(transport=httpx.MockTransport(script))


Make = Callable[..., Asker]


class Clock:
    """A clock that goes on only when somebody sleeps, and keeps count of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Server:
    """Answers by a script, step by step, then by the protocol; and keeps what it was asked.

    The log_prob of a row is its sum, and z is x.
    """

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.dtype: np.dtype[Any] = np.dtype("<f4")
        self.script = list(script)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            # a response is used up by who reads it
            return httpx.Response(step.status_code, headers=step.headers, content=step.content)
        head, arrays = inference(request)
        outputs: dict[str, NDArray[Any]] = {}
        if "n" in arrays:
            n = int(arrays["n"][0])
            outputs = {"x": np.zeros((n, 2)), "log_prob": np.zeros(n)}
        else:
            rows = next(iter(arrays.values()))
            outputs = {"log_prob": rows.sum(1), "z": rows, "x": rows}
        wanted = [output["name"] for output in head["outputs"]]
        answered = {name: outputs[name] for name in wanted}
        return protocol(answered, dtype=self.dtype, parameters={"seed": 3})


def inference(request: httpx.Request) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A request as the protocol says that it is to be read."""
    length = int(request.headers[HEADER])
    head = orjson.loads(request.content[:length])
    types, arrays = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}, {}
    for described in head["inputs"]:
        stop = length + described["parameters"]["binary_data_size"]
        values = np.frombuffer(request.content[length:stop], types[described["datatype"]])
        arrays[described["name"]] = values.reshape(described["shape"])
        length = stop
    assert length == len(request.content)
    return head, arrays


def protocol(
    outputs: Mapping[str, NDArray[Any]],
    cut: int | None = None,
    more: bytes = b"",
    dtype: Any = "<f4",
    **head: Any,
) -> httpx.Response:
    size = np.dtype(dtype).itemsize
    described = [
        {
            "name": name,
            "datatype": f"FP{8 * size}",
            "shape": values.shape,
            "parameters": {"binary_data_size": size * values.size},
        }
        for name, values in outputs.items()
    ]
    text = orjson.dumps({"outputs": described, **head})
    tail = b"".join(values.astype(dtype).tobytes() for values in outputs.values())
    return httpx.Response(200, content=(text + tail)[:cut] + more, headers={HEADER: str(len(text))})


def refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": "not now"}, headers=headers)


def scripted(
    make: Make, *script: httpx.Response | Exception, **options: Any
) -> tuple[Asker, Server]:
    server = Server(*script)
    return make("http://flows", script=server, **{"model": "moons"} | options), server
