"""Randomness of requests, drawn on the host as a pure function of the seed; and rounding."""

import secrets

import numpy as np

from service.bundle import Manifest
from service.engine import Float32


def chosen_seed(given: int | None) -> int:
    """The seed of a request, or a fresh one, small enough for every JSON reader."""
    return secrets.randbits(32) if given is None else given


def latents(manifest: Manifest, n: int, seed: int, temperature: float) -> Float32:
    """Draw n latents of a model's base; those of a smaller n are their head.

    Args:
        manifest: says the base density and the latent shape.
        n: rows.
        seed: of a Philox generator, which makes the same numbers on every machine.
        temperature: factor on the noise.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    shape = (n, *manifest.latent_shape)
    if manifest.base == "logistic":
        noise = generator.logistic(size=shape)
    else:
        noise = generator.standard_normal(shape)
    return (temperature * noise).astype(np.float32)


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
