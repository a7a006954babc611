"""Randomness of requests, drawn on the host as a pure function of the seed; and rounding."""

import secrets

import numpy as np

from service.arrays import Float32
from service.errors import InvalidInputError
from service.manifest import Manifest
from service.truncation import truncated_normal


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
        self, manifest: Manifest, seed: int, temperature: float, truncation: float | None = None
    ) -> None:
        if truncation is not None and manifest.base != "normal":
            raise InvalidInputError(
                f"truncation: needs a normal base, this model's is {manifest.base}"
            )
        if manifest.base == "uniform" and temperature > 1:
            raise InvalidInputError(
                f"temperature: expected at most 1, got {temperature:g}: this model's base is "
                "uniform, and has no density beyond its box"
            )
        philox = np.random.Philox(seed)
        self._generator = np.random.Generator(philox)
        # components from a stream of their own, or they would push the noise along
        self._components = np.random.Generator(philox.jumped())
        self._manifest = manifest
        self._temperature = temperature
        self._truncation = truncation

    def draw(self, n: int) -> Float32:
        """The next n latents, n × latent shape."""
        manifest, temperature, generator = self._manifest, self._temperature, self._generator
        shape = (n, *manifest.latent_shape)
        parameters = {k: np.array(v) for k, v in manifest.base_parameters.items()}
        match manifest.base:
            case "mixture":
                steps = np.exp(parameters["log_weights"]).cumsum()
                uniform = self._components.random(n) * steps[-1]
                chosen = np.searchsorted(steps[:-1], uniform, side="right")
                deviation = np.exp(parameters["log_scales"])[chosen].reshape(shape)
                centre = parameters["means"][chosen].reshape(shape)
                z = centre + temperature * deviation * generator.standard_normal(shape)
            case "uniform":
                low, high = parameters["low"], parameters["high"]
                part = temperature * generator.uniform(-0.5, 0.5, shape)
                z = (low + high) / 2 + part * (high - low)
            case "student-t":
                z = temperature * generator.standard_t(parameters["df"], shape)
            case "logistic":
                z = temperature * generator.logistic(size=shape)
            case "normal" if self._truncation is not None:
                z = temperature * truncated_normal(generator.random(shape), self._truncation)
            case "normal":
                z = temperature * generator.standard_normal(shape)
        latents: Float32 = z.astype(np.float32)
        return latents


def dequantization(manifest: Manifest, rows: Float32, copies: int, seed: int) -> Float32:
    """Noisy copies of rows, copies × N × event shape: U(−½, ½) on integer columns."""
    assert manifest.dequantization is not None
    generator = np.random.Generator(np.random.Philox(seed))
    flat = np.repeat(rows.reshape(1, len(rows), -1), copies, axis=0)
    chosen = manifest.dequantization.index
    flat[..., chosen] += generator.uniform(-0.5, 0.5, flat[..., chosen].shape).astype(np.float32)
    return flat.reshape(copies, *rows.shape)


def quantized(manifest: Manifest, rows: Float32) -> Float32:
    """Rows with their integer columns rounded into the range of the data."""
    assert manifest.dequantization is not None
    low, high = (
        np.asarray(edge, np.float32)
        for edge in (manifest.dequantization.low, manifest.dequantization.high)
    )
    flat = rows.reshape(len(rows), -1).copy()
    chosen = manifest.dequantization.index
    flat[:, chosen] = np.clip(np.round(flat[:, chosen]), low, high) + 0.0  # no −0
    return flat.reshape(rows.shape)
