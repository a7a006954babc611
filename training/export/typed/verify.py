"""Verified graphs of a density over typed columns, measured against it in float64."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.columns import NumberGroup, TypedColumns
from service.bundle import Tolerances
from training.export.reference import REFERENCE_ROWS
from training.export.served_graph import ServedGraph
from training.export.typed.graphs import decode_graph, encode_graph
from training.export.verify import Errors, refuse_misses, tolerances

Float64 = NDArray[np.float64]
Context = NDArray[np.float32] | NDArray[np.float64]
Feed = Mapping[str, Float64]

# With more cells the probability of one is a rounding error of the distribution function: a random
# latent may lead to the next cell. Of 9e13 cells, 2 of 512 latents did.
MAX_EXACT_CELLS = 2.0**30


class TypedGraphs(NamedTuple):
    """Both directions as ONNX files, and how far they are from the density in float64."""

    encode: bytes
    decode: bytes
    tolerances: Tolerances


def verified_graphs(density: TypedColumns, rows: Float64, context: Context | None) -> TypedGraphs:
    """Export both directions of a density and measure them on held-out rows.

    Rows are encoded in the middle of their cells and at random places, and decoded again, together
    with fresh noise. Values of discrete columns are to be equal (`_exact`).

    Args:
        density: the density; its network is exported in float64, whatever its number type is.
        rows: N × D, NaN where a value is missing.
        context: N × context shape, exactly when the density has one.

    Raises:
        ExportError: a difference is above its bar; all are named.
    """
    reference = copy.deepcopy(density).double().eval()
    generator = np.random.default_rng(0)
    index = np.arange(REFERENCE_ROWS) % len(rows)  # repeated where there are fewer
    x = np.tile(rows[index], (2, 1))
    u = np.concatenate([np.full_like(rows[index], 0.5), generator.random(rows[index].shape)])
    also = (
        {} if context is None else {"context": np.tile(context[index], (2, 1)).astype(np.float64)}
    )
    z, log_prob = _torch(reference.encode, x, also.get("context"), u)
    encode = encode_graph(reference)
    encoded = _errors(encode, {"x": x, "u": u, **also}, z, log_prob)
    refuse_misses("encode", encoded)
    inside = np.isfinite(log_prob)
    noise = generator.normal(size=z.shape)
    latents = np.concatenate([np.where(inside[:, None], z, noise), noise])
    also = {name: np.tile(values, (2, 1)) for name, values in also.items()}
    values, log_prob = _torch(reference.decode, latents, also.get("context"))
    decode = decode_graph(reference)
    decoded = _errors(decode, {"z": latents, **also}, values, log_prob, _exact(reference, values))
    refuse_misses("decode", decoded)
    return TypedGraphs(encode, decode, tolerances(encoded, decoded))


def _torch(
    call: Callable[..., tuple[Tensor, Tensor]], *values: Float64 | None
) -> tuple[Float64, Float64]:
    """The outputs of a direction of the reference."""
    with torch.no_grad():
        answer, log_prob = call(*(None if v is None else torch.from_numpy(v) for v in values))
    return answer.numpy(), log_prob.numpy()


def _errors(
    graph: bytes,
    feed: Feed,
    value: Float64,
    log_prob: Float64,
    exact: Sequence[int] | None = None,
) -> Errors:
    """How far a graph's outputs are from these, at each batch size.

    Args:
        graph: ONNX file.
        feed: its inputs.
        value, log_prob: what its outputs should be.
        exact: columns of x whose values are to be equal: another value is an infinite error. None
            for latents, whose range counts as 1 at least.
    """
    served = ServedGraph(graph)
    value_errors, log_prob_errors = [], []
    for rows, answers in served.at_each_size(feed):
        value_errors.append(_difference(answers[0], value[rows]))
        log_prob_errors.append(_difference(answers[1], log_prob[rows]))
    errors = np.concatenate(value_errors).max(0)
    if exact:
        errors[exact] = np.where(errors[exact] == 0, 0, np.inf)
    least = 1.0 if exact is None else np.finfo(np.float64).tiny
    relative = errors / np.maximum(_span(value), least)
    per_dim = np.concatenate(log_prob_errors) / len(errors)
    return Errors(float(relative.max()), per_dim, served.batch_sizes)


def _difference(answer: Float64, expected: Float64) -> Float64:
    """Absolute differences: zero where both are infinite or NaN, infinite where one is."""
    same = (answer == expected) | (np.isnan(answer) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        difference = np.abs(answer - expected)
    return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _span(rows: Float64) -> Float64:
    """The range of each column's finite values; 0 of a column without any."""
    there = np.where(np.isfinite(rows), rows, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns whose values are all missing
        span: Float64 = np.nan_to_num(np.nanmax(there, 0) - np.nanmin(there, 0))
    return span


def _exact(density: TypedColumns, value: Float64) -> list[int]:
    """The columns whose values are to be equal: discrete ones, of up to `MAX_EXACT_CELLS` cells.

    Args:
        density: the density.
        value: rows of it, whose range is counted in cells.
    """
    span, exact = _span(value), []
    for group in density.column_groups:
        for i, column in enumerate(group.index):
            if isinstance(group, NumberGroup):
                steps = span[column] * float(group.q[i] / group.p[i])
                if not group.discrete or steps > MAX_EXACT_CELLS:
                    continue
            exact.append(column)
    return exact
