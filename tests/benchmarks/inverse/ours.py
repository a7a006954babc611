"""Our flow's two graphs, as export writes them and the server runs them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.flow import Flow
from tests.benchmarks.inverse.graph import open_graph
from training.export.graphs import draft
from training.export.inverse_search import FASTEST, fastest
from training.export.reference import REFERENCE_ROWS
from training.export.served_graph import ServedGraph

Run = Callable[[Mapping[str, NDArray[np.float32]]], list[NDArray[Any]]]
"""Inputs by name, any number of rows → all outputs."""


@dataclass(frozen=True)
class Graphs:
    """ONNX files of both directions.

    Args:
        decode, encode: their bytes; decoding is the sequential direction.
        inverse: how it inverts, in words.
    """

    decode: bytes
    encode: bytes
    inverse: str


def graphs(flow: Flow) -> Graphs:
    """Both graphs of a MAF."""
    shape = (REFERENCE_ROWS, *flow.bijection.latent_shape)
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = fastest(draft(flow, "z", "x"), {"z": noise}, FASTEST)
    chosen = found.report
    assert chosen is not None
    encode = draft(flow, "x", "z").finish(None)
    return Graphs(found.content, encode, f"{chosen.method}, {chosen.width} wide")


def served(graph: bytes, device: str) -> Run:
    """A graph on `cpu` or `cuda`.

    On the CPU it runs as in a server: rows are divided into batches, each of which one thread runs.
    """
    if device == "cpu":
        return ServedGraph(graph).run_in_batches
    session = open_graph(graph, device)
    return lambda feed: session.run(None, dict(feed))
