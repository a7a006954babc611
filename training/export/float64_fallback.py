"""A verified graph of a flow: in float32 or, where that misses the bars, in float64."""

import copy
import typing
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as RuntimeNotImplemented

from models.flow import Flow
from service.bundle import Arithmetic, Direction, Guess, InverseReport, Number, Sweeps
from training.errors import ExportError
from training.export.graphs import draft
from training.export.inverse_search import Fastest, InverseRequest, fastest
from training.export.reference import Feed, GraphName, Reference
from training.export.served_graph import ServedGraph
from training.export.sweeps import StudentGuess, measured_sweeps
from training.export.verify import TENSORS, Errors, preview, verify
from training.progress import phase


class VerifiedGraph(NamedTuple):
    """A graph: its ONNX file, loaded and not, and what the manifest states about it."""

    content: bytes
    graph: ServedGraph
    number: Number
    errors: Errors
    inverse: InverseReport | None
    sweeps: Sweeps | None


def verified(
    name: GraphName,
    flow: Flow,
    reference: Reference,
    request: InverseRequest,
    guess: StudentGuess | None = None,
) -> VerifiedGraph:
    """A graph in float32 arithmetic or, if a steep flow misses the bars in it, in float64.

    Args:
        name: of the graph.
        flow: that is exported.
        reference: what the graph is compared with.
        request: which inverses to choose from.
        guess: a student from whose guesses sweeps may start.

    Raises:
        ExportError: no graph is within the bars.
    """
    source, target = TENSORS[name]
    expected = reference.expected[name]
    missed: ExportError | None = None
    for number in typing.get_args(Number):
        typed_flow = _in(flow, number)
        guided_flow = None if guess is None else _in(guess.flow, number)
        what = f"{name} in {number}"
        try:
            with phase(f"graph of {what}"):
                unfinished = draft(typed_flow, source, target)
                guided = None if guided_flow is None else draft(guided_flow, source, target)
            is_chosen = unfinished.coordinates or unfinished.stepwise
            with phase(f"{'choice of an inverse' if is_chosen else 'load'} of {what}"):
                found = fastest(
                    unfinished,
                    expected.feed,
                    request,
                    lambda graph: preview(name, expected, graph),
                    lambda graph: verify(name, expected, graph),
                    guided,
                )
            with phase(f"verification of {what}"):
                found.graph.measure(found.content, expected.feed)
                errors = found.errors
                if errors is None or errors.batch_sizes != found.graph.batch_sizes:
                    errors = verify(name, expected, found.graph)
        except ExportError as error:
            missed = missed or error
        except RuntimeNotImplemented:  # onnxruntime has no erf in float64
            break
        else:
            inverse, sweeps = found.report, None
            if inverse is not None and name != "layers":
                with phase(f"round trip of {what}"):
                    residual = reference.residual(name, found.graph)
                inverse = inverse.model_copy(update={"residual": residual})
                swept = guided_flow if found.unguided is not None else typed_flow
                assert swept is not None
                sweeps = _sweeps(name, swept, found, expected.feed, guess)
            return VerifiedGraph(found.content, found.graph, number, errors, inverse, sweeps)
    assert missed is not None
    raise missed


F = TypeVar("F", bound=Flow)


def _in(flow: F, number: Number) -> F:
    """A flow, or a copy of it in float64."""
    return copy.deepcopy(flow).double() if number == "float64" else flow


def _sweeps(
    name: Direction, flow: Flow, found: Fastest, feed: Feed, guess: StudentGuess | None
) -> Sweeps | None:
    """The sweeps that rows of a graph need; None where it goes step by step."""
    if found.inverse is None or found.inverse.method != "jacobi":
        return None
    with phase(f"sweeps of {name}"):
        sweeps = measured_sweeps(flow, name, found.inverse, feed)
    if guess is None or found.unguided is None:
        return sweeps
    of_student = Guess(
        student=guess.student, sha256=guess.sha256, unguided=found.unguided.milliseconds
    )
    return sweeps.model_copy(update={"guess": of_student})


def arithmetic(numbers: Iterable[Number]) -> Arithmetic:
    """The number type of all graphs, or `mixed`."""
    kinds = set(numbers)
    return kinds.pop() if len(kinds) == 1 else "mixed"
