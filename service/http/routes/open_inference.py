"""Inference by the Open Inference Protocol v2, in JSON and in binary.

Each graph is a model of the protocol: `<flow>` (x → log_prob, z), `<flow>.decode` (z → x,
log_prob) and `<flow>.sample` (n → x, log_prob); conditional ones also take `context`.
"""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from service.bundle import VERSION
from service.codecs import json
from service.errors import InvalidInputError, MalformedBodyError, UnknownModelError, readable
from service.http.asgi_route import Endpoint, deadline, off_loop
from service.http.disconnect import unless_gone
from service.http.request_body import Headers, body_of
from service.open_inference import Parameters, protocol
from service.operations import (
    Answer,
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    LogProbRequest,
    SampleRequest,
)
from service.server import Server
from service.store import Lease, Model

# Parameters that change an answer: where they cannot, they are refused. Others are ignored: the
# protocol's own (priority, sequence_id, …) and those that proxies add.
SETTINGS = frozenset({"dequantize", "seed", "temperature", "truncation", "quantize"})

# More digits make no version.
MOST_DIGITS = 18


@dataclass(frozen=True)
class Graph:
    """A model of the protocol.

    Args:
        suffix: of its name, after the flow's.
        source: its input beside the context.
        outputs: in the order in which they are answered.
        runs: the graph of the engine.
    """

    suffix: str
    source: str
    outputs: tuple[str, ...]
    runs: Literal["encode", "decode"]

    def name(self, flow: str) -> str:
        """Its name for a flow."""
        return f"{flow}.{self.suffix}" if self.suffix else flow

    def inputs(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each input; −1 is any number of rows."""
        source = _tensor(self.source, *self._row(model, self.source))
        if self.source == "n":
            source |= {"datatype": "INT64", "shape": [1]}
        columns = model.manifest.context
        return [source] if columns is None else [source, _tensor("context", len(columns))]

    def described(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each output."""
        return [_tensor(name, *self._row(model, name)) for name in self.outputs]

    @staticmethod
    def _row(model: Model, name: str) -> tuple[int, ...]:
        return {"x": model.event_shape, "z": model.latent_shape}.get(name, ())


def _tensor(name: str, *row: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": [-1, *row]}


GRAPHS = {
    graph.suffix: graph
    for graph in (
        Graph("", "x", ("log_prob", "z"), "encode"),
        Graph("decode", "z", ("x", "log_prob"), "decode"),
        Graph("sample", "n", ("x", "log_prob"), "decode"),
    )
}


class Infer(Endpoint):
    """`POST /v2/models/{model}[/versions/{version}]/infer`."""

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The outputs asked for, in JSON or binary."""
        headers = Headers(scope)
        due = deadline(headers)
        body = await body_of(receive, headers, self.server.settings.max_body)
        lease, graph = await find(self.server, **scope["path_params"])
        with lease as model:
            return await self._answer(model, graph, body, headers, due, receive)

    async def _answer(
        self,
        model: Model,
        graph: Graph,
        body: bytes,
        headers: Headers,
        due: float,
        receive: Receive,
    ) -> Response:
        length = headers[protocol.HEADER]
        if length == "0":
            asked = protocol.raw(body, graph.inputs(model))
        else:
            asked = await off_loop(len(body), lambda: protocol.parse(body, length))
        due = min(due, _timeout(asked.parameters))
        names = _wanted(graph, asked)
        work = self._operation(model, graph, asked, names)
        answer = await unless_gone(receive, work(due))
        rows = len(answer.arrays["log_prob"])
        self.server.metrics.request_rows("infer", model.manifest.name, rows)
        head: dict[str, Any] = {
            "model_name": graph.name(model.manifest.name),
            "model_version": str(model.manifest.version),
        }
        if asked.id:
            head["id"] = asked.id
        if answer.seed is not None:
            head["parameters"] = {"seed": answer.seed}
        outputs = {name: answer.arrays[name] for name in names}
        binary = {name: asked.outputs.get(name, asked.binary) for name in names}
        size = sum(values.nbytes for values in outputs.values())
        content, text = await off_loop(size, lambda: protocol.dump(head, outputs, binary))
        if not any(binary.values()):
            return Response(content, media_type=json.TYPE)
        header = {"Inference-Header-Content-Length": str(text)}
        return Response(content, media_type="application/octet-stream", headers=header)

    def _operation(
        self, model: Model, graph: Graph, asked: protocol.Request, names: tuple[str, ...]
    ) -> Callable[[float], Awaitable[Answer]]:
        """The operation that answers a request, but for its deadline."""
        ask, request = self.server.operations, _request(graph, asked, names)
        match request:
            case SampleRequest():
                return lambda due: ask.sample(model, request, due)
            case DecodeRequest():
                return lambda due: ask.decode(model, request, due)
            case LogProbRequest():
                return lambda due: ask.log_prob(model, request, due)
            case EncodeRequest():
                return lambda due: ask.encode(model, request, due)
        raise TypeError(f"no operation takes {type(request)}")


def infer_routes(server: Server) -> list[Route]:
    """The routes of inference, in plain ASGI."""
    infer = Infer(server)
    paths = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
    return [Route(path, infer, methods=["POST"]) for path in paths]


async def find(server: Server, name: str, version: str = "") -> tuple[Lease[Model], Graph]:
    """A lease of the flow, and the graph, that a name of the protocol means.

    Raises:
        ServiceError: what `Store.get` does, or that there is no such graph or version.
    """
    server.check_started()
    flow, graph = split(name)
    if version and not (VERSION.fullmatch(version) and len(version) <= MOST_DIGITS):
        raise UnknownModelError(
            f"model {name!r:.80} has no version {version!r:.40}: expected a whole number from 1"
        )
    return await server.store.get(flow, int(version) if version else None), graph


def split(name: str) -> tuple[str, Graph]:
    """The flow's name and the graph that a name of the protocol is made of.

    Raises:
        UnknownModelError: there is no such graph.
    """
    flow, dot, suffix = name.partition(".")
    if suffix not in GRAPHS or bool(dot) != bool(suffix):
        names = ", ".join(graph.name(flow[:40]) for graph in GRAPHS.values())
        raise UnknownModelError(f"no model {name!r:.80}: expected one of {names}")
    return flow, GRAPHS[suffix]


def _timeout(parameters: Parameters) -> float:
    """When the caller wants an answer no more, on `time.monotonic`'s clock."""
    given = parameters.get("timeout", 0)
    if type(given) is not int or given < 0:
        raise MalformedBodyError(f"timeout: expected microseconds, got {given!r:.40}")
    return time.monotonic() + given / 1e6 if given else math.inf


def _wanted(graph: Graph, asked: protocol.Request) -> tuple[str, ...]:
    """Which outputs to answer with; all of them where none is named."""
    names = tuple(asked.outputs) or graph.outputs
    if unknown := [name for name in names if name not in graph.outputs]:
        raise InvalidInputError(
            f"there is no output {unknown[0]!r:.80}, only {', '.join(graph.outputs)}"
        )
    return names


def _request(graph: Graph, asked: protocol.Request, names: tuple[str, ...]) -> FlowRequest:
    """A request of the protocol as the operations take it."""
    fields: dict[str, Any] = dict(asked.inputs)
    if unknown := fields.keys() - {graph.source, "context"}:
        raise InvalidInputError(
            f"there is no input {sorted(unknown)[0]!r:.80}, only {graph.source}, and context of a "
            "conditional model"
        )
    if graph.source not in fields:
        raise InvalidInputError(f"input {graph.source!r} is missing")
    schema: type[FlowRequest]
    match graph.suffix:
        case "sample":
            schema, fields["n"] = SampleRequest, _count(fields["n"])
        case "decode":
            schema = DecodeRequest
        case _:
            # without z, rows outside the support have an answer
            schema = LogProbRequest if names == ("log_prob",) else EncodeRequest
    given = {key: value for key, value in asked.parameters.items() if key in SETTINGS}
    if useless := sorted(given.keys() - schema.model_fields.keys()):
        raise InvalidInputError(
            f"parameter {useless[0]} has no use here: {graph.source} → {', '.join(names)}"
        )
    try:
        return schema.model_validate(fields | given, strict=True)
    except ValidationError as error:
        raise InvalidInputError("; ".join(map(readable, error.errors()))) from None


def _count(n: NDArray[Any]) -> int:
    if n.shape != (1,) or n.dtype.kind not in "iu":
        raise InvalidInputError(
            f"n: expected INT64 of shape [1], got {n.dtype} of shape {list(n.shape)}"
        )
    return int(n[0])
