"""Inference by the Open Inference Protocol v2, in JSON and in binary.

Each graph is a model of the protocol: `<flow>` (x → log_prob, z), `<flow>.decode` (z → x,
log_prob) and `<flow>.sample` (n → x, log_prob); conditional ones also take `context`.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from service.codec import json
from service.codec import open_inference as protocol
from service.endpoint import Endpoint, deadline, off_loop
from service.errors import InvalidInputError, UnknownModelError, readable
from service.model import Model
from service.operations import Answer
from service.receiving import Headers, body_of, unless_gone
from service.schemas import DecodeRequest, EncodeRequest, FlowRequest, LogProbRequest, SampleRequest
from service.server import Server


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
        model, graph = await find(self.server, **scope["path_params"])
        length = headers[protocol.HEADER]
        if length == "0":
            asked = protocol.raw(body, graph.inputs(model))
        else:
            asked = await off_loop(len(body), lambda: protocol.parse(body, length))
        names = tuple(asked.outputs) or graph.outputs
        if unknown := [name for name in names if name not in graph.outputs]:
            raise InvalidInputError(f"there is no output {unknown[0]!r}, only {graph.outputs}")
        if "timeout" in asked.parameters:
            due = min(due, time.monotonic() + float(asked.parameters["timeout"]) / 1e6)
        work = self._ask(model, graph, asked, names)
        answer = await unless_gone(receive, work(due))
        rows = len(next(iter(answer.arrays.values())))
        self.server.metrics.request_rows("infer", model.manifest.name, rows)
        head: dict[str, Any] = {
            "model_name": scope["path_params"]["name"],
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

    def _ask(
        self, model: Model, graph: Graph, asked: protocol.Request, names: tuple[str, ...]
    ) -> Callable[[float], Awaitable[Answer]]:
        """The operation that answers a request, but for its deadline."""
        ask = self.server.operations
        fields: dict[str, Any] = dict(asked.inputs)
        schema: type[FlowRequest]
        match graph.suffix:
            case "sample":
                schema = SampleRequest
                if fields.get("n", np.empty(0)).shape != (1,):
                    raise InvalidInputError("n: expected one number, of shape [1]")
                fields["n"] = fields["n"].item()
            case "decode":
                schema = DecodeRequest
            case _:
                # without z, rows outside the support have an answer
                schema = LogProbRequest if names == ("log_prob",) else EncodeRequest
        known = schema.model_fields.keys() - fields.keys() - {"model", "version", "context"}
        fields |= {k: v for k, v in asked.parameters.items() if k in known}
        try:
            request = schema.model_validate(fields)
        except ValidationError as error:
            raise InvalidInputError("; ".join(map(readable, error.errors()))) from None
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


async def find(server: Server, name: str, version: str = "") -> tuple[Model, Graph]:
    """The flow and the graph that a name of the protocol means."""
    flow, _, suffix = name.partition(".")
    if suffix not in GRAPHS or name.endswith("."):
        raise UnknownModelError(f"no model {name!r:.80}: a flow's graphs are {list(GRAPHS)}")
    if version and not version.isdecimal():
        raise UnknownModelError(f"model {name!r:.80} has no version {version!r:.40}")
    return await server.store.get(flow, int(version) if version else None), GRAPHS[suffix]
