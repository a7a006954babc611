"""Randomness of requests, drawn on the host as a pure function of the seed; and rounding."""

import math
import secrets

import numpy as np

from service.bundle import DensityManifest, LatentDraw, RandomStreams
from service.errors import InvalidInputError
from service.types import Float32, Floats


def chosen_seed(given: int | None) -> int:
    """The seed of a request, or a fresh one, small enough for every JSON reader."""
    return secrets.randbits(32) if given is None else given


class Latents:
    """The latents of a seed, drawn piece by piece: the pieces are those of one long draw.

    Args:
        manifest: says the base density and the latent shape.
        seed: of a Philox generator, which makes the same numbers on every machine.
        temperature: factor on the deviation from the base's centre; of a mixture, from the mean
            of each row's component.
        truncation: standard deviations beyond which a normal base is not drawn from.

    Raises:
        InvalidInputError: a temperature above one, which would leave the box of a uniform base;
            or a truncation of another base than the normal one.
    """

    def __init__(
        self,
        manifest: DensityManifest,
        seed: int,
        temperature: float,
        truncation: float | None = None,
    ) -> None:
        self._base = manifest.base_density
        try:
            self._base.check(temperature, truncation)
        except ValueError as error:
            raise InvalidInputError(str(error)) from None
        self._streams = RandomStreams.of_seed(seed)
        self._manifest = manifest
        self._temperature = temperature
        self._truncation = truncation

    def draw(self, n: int) -> Floats:
        """The next n latents, n × latent shape, of the type of the model's graphs."""
        asked = LatentDraw(
            self._streams,
            (n, *self._manifest.latent_shape),
            self._manifest.base_parameters,
            self._temperature,
            self._truncation,
        )
        latents: Floats = self._base.draw(asked).astype(self._manifest.dtype)
        return latents


class NoisyCopies:
    """Noisy copies of rows, drawn piece by piece: the pieces are those of one long draw.

    Args:
        manifest: says which columns are integers; these get U(−½, ½).
        rows: N × event shape.
        seed: of a Philox generator.
    """

    def __init__(self, manifest: DensityManifest, rows: Float32, seed: int) -> None:
        assert manifest.dequantization is not None
        self._columns = manifest.dequantization.index
        self._rows = rows
        self._generator = np.random.Generator(np.random.Philox(seed))

    def draw(self, start: int, stop: int) -> Float32:
        """The next rows of all copies, copy after copy: from the end of the last draw to `stop`."""
        copies: Float32 = self._rows[np.arange(start, stop) % len(self._rows)]
        flat = copies.reshape(len(copies), math.prod(copies.shape[1:]))
        noisy = flat[:, self._columns]
        noisy += self._generator.uniform(-0.5, 0.5, noisy.shape).astype(np.float32)
        flat[:, self._columns] = noisy
        return copies


def quantized(manifest: DensityManifest, rows: Float32) -> Float32:
    """Rows with their integer columns rounded into the range of the data."""
    assert manifest.dequantization is not None
    low, high = (
        np.asarray(edge, np.float32)
        for edge in (manifest.dequantization.low, manifest.dequantization.high)
    )
    flat = rows.reshape(len(rows), manifest.dimensions).copy()
    chosen = manifest.dequantization.index
    flat[:, chosen] = np.clip(np.round(flat[:, chosen]), low, high) + 0.0  # no −0
    return flat.reshape(rows.shape)
