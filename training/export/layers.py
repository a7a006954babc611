"""Exporting the output of every layer, of flows whose points can be drawn."""

import math
from typing import Any

from models.flow import Flow
from models.layerwise import layer_name, layers_of
from training.config import TabularSpec
from training.errors import ExportError
from training.export.float64_fallback import VerifiedGraph
from training.export.verify import layer_tolerances
from training.runs import Run

MAX_DIMENSIONS = 3
"""The graph has the weights of the flow once more, and is for pictures: points of more numbers are
not drawn."""


def check_layers(run: Run) -> None:
    """See that the output of every layer of a run's flow can be exported.

    Raises:
        ExportError: it is of too many dimensions, or of typed columns.
    """
    spec = run.file.flow
    if isinstance(spec, TabularSpec):
        raise ExportError(
            f"--layers is for flows of numbers: {run.folder} is of typed columns, which have no "
            "layers between rows and latents"
        )
    if (dimensions := math.prod(spec.event_shape)) > MAX_DIMENSIONS:
        raise ExportError(
            f"--layers is for flows of up to {MAX_DIMENSIONS} dimensions: {run.folder} has "
            f"{dimensions}"
        )


def described_layers(flow: Flow, graph: VerifiedGraph) -> dict[str, Any]:
    """What a manifest states about the layers of a flow and their graph."""
    names = [layer_name(layer) for layer in reversed(layers_of(flow.bijection))]
    return {
        "names": names,
        "arithmetic": graph.number,
        **layer_tolerances(graph.errors),
    }
