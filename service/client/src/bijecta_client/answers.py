"""What questions come to: float32 arrays, free to be written to."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class Encoded(NamedTuple):
    """Latents, N × latent shape, and the log-density of each row in nats."""

    z: Float32
    log_prob: Float32


class Decoded(NamedTuple):
    """Rows, N × event shape, and the log-density of each in nats."""

    x: Float32
    log_prob: Float32


class Sampled(NamedTuple):
    """Rows, N × event shape, the log-density of each in nats, and the seed that makes them."""

    x: Float32
    log_prob: Float32
    seed: int


class Interpolated(NamedTuple):
    """Rows, steps × event shape, the log-density of each in nats, and their latents."""

    x: Float32
    log_prob: Float32
    z: Float32
