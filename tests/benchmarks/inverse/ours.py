"""Our flow's two graphs, as export writes them: the fastest inverse chosen by measurement."""

from dataclasses import dataclass

import numpy as np

from models.flow import Flow
from training.export.graphs import draft
from training.export.inverse_search import FASTEST, fastest
from training.export.verify import REFERENCE_ROWS


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
    decode, _, chosen = fastest(draft(flow, "z", "x"), {"z": noise}, FASTEST)
    assert chosen is not None
    encode = draft(flow, "x", "z").finish(None)
    return Graphs(decode, encode, f"{chosen.method}, {chosen.width} wide")
