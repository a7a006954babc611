"""A verified graph of a flow: in float32 or, where that misses the bars, in float64."""

import copy
import typing
from collections.abc import Iterable
from typing import NamedTuple

from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as RuntimeNotImplemented

from models.flow import Flow
from service.bundle import Arithmetic, InverseReport, Number
from training.errors import ExportError
from training.export.graphs import draft
from training.export.inverse_search import InverseRequest, fastest
from training.export.reference import GraphName, Reference
from training.export.served_graph import ServedGraph
from training.export.verify import TENSORS, Errors, preview, verify
from training.progress import phase


class VerifiedGraph(NamedTuple):
    """A graph: its ONNX file, loaded and not, and what the manifest states about it."""

    content: bytes
    graph: ServedGraph
    number: Number
    errors: Errors
    inverse: InverseReport | None


def verified(
    name: GraphName, flow: Flow, reference: Reference, request: InverseRequest
) -> VerifiedGraph:
    """A graph in float32 arithmetic or, if a steep flow misses the bars in it, in float64."""
    source, target = TENSORS[name]
    expected = reference.expected[name]
    missed: ExportError | None = None
    for number in typing.get_args(Number):
        typed_flow = copy.deepcopy(flow).double() if number == "float64" else flow
        what = f"{name} in {number}"
        try:
            with phase(f"graph of {what}"):
                unfinished = draft(typed_flow, source, target)
            with phase(f"{'choice of an inverse' if unfinished.coordinates else 'load'} of {what}"):
                content, graph, inverse = fastest(
                    unfinished,
                    expected.feed,
                    request,
                    lambda graph: preview(name, expected, graph),
                )
            with phase(f"verification of {what}"):
                graph.measure(content, expected.feed)
                errors = verify(name, expected, graph)
        except ExportError as error:
            missed = missed or error
        except RuntimeNotImplemented:  # onnxruntime has no erf in float64
            break
        else:
            if inverse is not None and name != "layers":
                with phase(f"round trip of {what}"):
                    residual = reference.residual(name, graph)
                inverse = inverse.model_copy(update={"residual": residual})
            return VerifiedGraph(content, graph, number, errors, inverse)
    assert missed is not None
    raise missed


def arithmetic(graphs: Iterable[VerifiedGraph]) -> Arithmetic:
    """The number type of both graphs, or `mixed`."""
    numbers = {graph.number for graph in graphs}
    return numbers.pop() if len(numbers) == 1 else "mixed"
