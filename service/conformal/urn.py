"""References of online conformal p-values: intervals between some of their values.

`service.watching.urns` says why intervals suffice. Which values of the reference bound them depends
on ranks alone, never on the values.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.types import Float64

COLUMN_EDGES = 256
"""Values that are kept of a column."""

Complex = NDArray[np.complex128]


class Urn(NamedTuple):
    """The intervals of one reference.

    Args:
        edges: K, ascending: values, with what breaks ties as the imaginary part. numpy orders
            complex numbers by the real part, then by the imaginary one.
        gaps: K + 1, reference gaps in each interval.
    """

    edges: Complex
    gaps: Float64


def urn_of(
    values: Float64,
    counts: Float64 | None,
    most: int,
    random: np.random.Generator,
) -> Urn:
    """The urn of a reference.

    Args:
        values: ascending, +inf among them.
        counts: how many each stands for, itself the largest of them; None for itself alone.
        most: edges that are kept.
        random: breaks ties.
    """
    number = np.ones(len(values)) if counts is None else counts
    # what breaks the ties of a run of equal values: order statistics of uniform numbers
    steps = random.gamma(number)
    reached = np.cumsum(steps)
    is_first = np.append(True, values[1:] != values[:-1])[: len(values)]
    run = np.cumsum(is_first) - 1
    before = (reached - steps)[is_first]
    after = np.append(before[1:], reached[-1:]) + random.gamma(1.0, size=len(before))
    after = np.maximum(after, before)
    edges = np.empty(len(values), np.complex128)
    edges.real = values
    edges.imag = (reached - before[run]) / (after - before)[run]
    kept = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.int64))
    ranks = np.cumsum(number)[kept]
    gaps = np.diff(np.concatenate([[0.0], ranks, [number.sum() + 1]]))
    return Urn(edges[kept], gaps)


def column_urns(rows: Float64, random: np.random.Generator) -> list[Urn]:
    """An urn for each column of a reference.

    Args:
        rows: m × D, m ≥ 1; NaN where a value is missing, which counts as larger than all others.
        random: breaks ties.
    """
    ascending = np.sort(np.where(np.isnan(rows), np.inf, rows), axis=0)
    return [urn_of(column, None, COLUMN_EDGES, random) for column in ascending.T]


def urns_to_array(urns: list[Urn]) -> Float64:
    """Urns of as many edges each as 3 D × K: values, what breaks their ties, gaps below each."""
    edges = np.stack([urn.edges for urn in urns])
    return np.concatenate([edges.real, edges.imag, np.stack([urn.gaps[:-1] for urn in urns])])


def urns_from_array(array: Float64) -> list[Urn]:
    """What `urns_to_array` has made an array of; above the largest value there is one gap.

    Raises:
        ValueError: it holds no such urns.
    """
    if array.ndim != 2 or len(array) % 3 or array.size == 0:
        raise ValueError(f"expected 3 D × K values, got shape {array.shape}")
    values, ties, gaps = array.reshape(3, -1, array.shape[1])
    is_tie = values[:, 1:] == values[:, :-1]
    is_ordered = (values[:, 1:] >= values[:, :-1]) & (~is_tie | (ties[:, 1:] >= ties[:, :-1]))
    if np.isnan(values).any() or not is_ordered.all() or not ((ties >= 0) & (ties <= 1)).all():
        raise ValueError("expected values in ascending order")
    if not np.isfinite(gaps).all() or (gaps < 1).any() or (gaps != np.rint(gaps)).any():
        raise ValueError("expected numbers of gaps that are whole numbers from 1")
    if len(set(gaps.sum(1))) > 1:
        raise ValueError("expected columns of one number of rows")
    edges = np.empty(values.shape, np.complex128)
    edges.real, edges.imag = values, ties
    return [
        Urn(*each)
        for each in zip(edges, np.pad(gaps, ((0, 0), (0, 1)), constant_values=1.0), strict=True)
    ]
