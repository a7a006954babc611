"""Both runs of a function of tensors, operator by operator."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Of each dynamic axis, its length in the two runs. Quotients of different axes are independent of
# each other: from two sizes follows which product of lengths they are.
LENGTHS = ((5, 7), (3, 4), (11, 13))

# The same of what grows in a loop, and in a loop within that. The two lengths are close to each
# other, as those of sums with them are, so that none is a product of lengths of axes; and by their
# difference, 1, 2 or 3, it is clear what was added up.
GROWN = ((23, 24), (101, 103))

_MOST = 2
"""The highest power of a length in a size."""

Axes = Sequence[int | str]
"""The shape of a tensor: lengths, and names of axes of any length."""


class RecordingError(ValueError):
    """A function that cannot be recorded; says why."""


class Size(NamedTuple):
    """A length: a factor times powers of the lengths of dynamic axes, or one that differs by step.

    Args:
        factor: whole number.
        powers: of each axis.
        name: of a length that grows with the steps of a loop; else empty.
    """

    factor: int
    powers: tuple[int, ...]
    name: str = ""

    @property
    def is_static(self) -> bool:
        """Whether it depends on nothing."""
        return not (any(self.powers) or self.name)


@dataclass(eq=False)
class Symbol:
    """A tensor of one run. Its elements are not kept if they depend on an input.

    Args:
        shape, dtype: of the tensor.
        constant: the tensor, if it depends on no input.
        name: of a parameter or buffer, and of what is computed from it alone; else empty.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    constant: Tensor | None = None
    name: str = ""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass(frozen=True)
class CustomNode:
    """A node of an operator that torch does not have.

    Args:
        domain, operator: of ONNX.
        attributes: of the node.
    """

    domain: str
    operator: str
    attributes: Mapping[str, int]


@dataclass
class Step:
    """An operator that ran, or a loop.

    Args:
        operator: of torch, or a `CustomNode`; None of a loop.
        arguments: positional and by name, with symbols in place of tensors.
        outputs: its results, in order.
        body: of a loop.
    """

    operator: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: list[Symbol]
    body: "Body | None" = None


@dataclass
class Body:
    """The body of a loop.

    Args:
        states: what stands for the states.
        rows: what stands for one row of each tensor that a scan reads row by row.
        max_steps: the largest number of steps of a loop that ends by itself; None of a scan.
        rows_of_growing: how many rows a scan reads whose states grow; 0 of others.
        steps: of the body.
        next_states, outputs: its results. Of a loop that ends by itself the only output is whether
            to go on; those of a scan are stacked over all rows.
    """

    states: list[Symbol]
    rows: list[Symbol]
    max_steps: int | None = None
    rows_of_growing: int = 0
    steps: list[Step] = field(default_factory=list)
    next_states: list[Symbol] = field(default_factory=list)
    outputs: list[Symbol] = field(default_factory=list)


@dataclass
class Run:
    """One of the two runs.

    Args:
        inputs: by name.
        steps: what ran.
        outputs: of the function.
    """

    inputs: dict[str, Symbol]
    steps: list[Step]
    outputs: list[Symbol]


@dataclass(frozen=True)
class Recording:
    """Both runs of a function, step by step alike, and the names of the axes of any length."""

    runs: tuple[Run, Run]
    axes: tuple[str, ...]

    def size(self, first: int, second: int) -> Size:
        """The length that is `first` in one run and `second` in the other.

        Raises:
            RecordingError: it is no product of lengths of axes, and nothing that grows.
        """
        for powers, one, other in _products(len(self.axes)):
            if first % one == 0 and second == first // one * other:
                return Size(first // one, powers)
        if _has_grown(first, second):
            return Size(1, (0,) * len(self.axes), f"length_{first}_{second}")
        raise RecordingError(f"sizes {first} and {second} are no products of {self.axes}")


def same(first: Symbol, second: Symbol) -> bool:
    """Whether two symbols are constants of the same shape and elements, NaN being equal to NaN."""
    one, other = first.constant, second.constant
    if one is None or other is None or one.shape != other.shape:
        return False
    return one is other or torch.equal(one, other) or _same_with_nan(one, other)


def _same_with_nan(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(nan=0.25), other.nan_to_num(nan=0.25)) and torch.equal(
        one.isnan(), other.isnan()
    )


def _has_grown(first: int, second: int) -> bool:
    """Whether a length is the sum of some of what grows and a number."""
    sums = [(0, 0)]
    for one, other in GROWN:
        sums += [(one + a, other + b) for a, b in sums]
    return any(first - one == second - other >= 0 for one, other in sums[1:])


@functools.cache
def _products(axes: int) -> list[tuple[tuple[int, ...], int, int]]:
    """All powers of the lengths of so many axes, the lowest first, and both runs' products."""
    found: list[tuple[tuple[int, ...], int, int]] = [((), 1, 1)]
    for one, other in LENGTHS[:axes]:
        found = [
            ((*powers, i), first * one**i, second * other**i)
            for powers, first, second in found
            for i in range(_MOST + 1)
        ]
    return sorted(found, key=lambda product: sum(product[0]))
