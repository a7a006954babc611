"""The sequential direction of masked layers, at about the arithmetic of one pass.

Each hidden unit is computed once (`networks.run_by_blocks`, `networks.run_by_positions`).
`training.export.masked` writes the same algorithm as an ONNX graph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.layers.autoregressive.sweeps import COORDINATE_LIMIT, sweep
from models.networks import Block, MaskedMLP, run_by_blocks, run_by_positions
from models.numerics import UnivariateMap


@dataclass(frozen=True)
class Inverse:
    """How the coordinates of a block are computed; both methods have the same result.

    Args:
        method: `sequential` computes one coordinate after another. `jacobi` repeats sweeps over all
            coordinates of a block, from the values of the last sweep, and goes from block to block
            (Song et al. 2021, Gauss–Seidel–Jacobi). After k sweeps the first k coordinates are
            exact, so that a block needs at most as many sweeps as it has coordinates.
        width: number of coordinates of a block.
        tolerance: of `jacobi`, which stops when no coordinate changes by more than tolerance ·
            max(1, |coordinate|); with 0, when no coordinate changes at all.

    Raises:
        ValueError: no such method, a width below one, or a tolerance below zero or of `sequential`.
    """

    method: Literal["sequential", "jacobi"]
    width: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in ("sequential", "jacobi"):
            raise ValueError(f"an inverse is sequential or jacobi, not {self.method!r}")
        if self.width < 1:
            raise ValueError(f"a block is at least 1 wide, got {self.width}")
        if not 0 <= self.tolerance < math.inf or (self.tolerance and self.method == "sequential"):
            raise ValueError(f"a tolerance is of jacobi and at least 0, got {self.tolerance}")


# Up to this many coordinates are computed in one block, one after another: sweeps would hardly need
# fewer steps.
ONE_BLOCK_COORDINATES = 8


def default_inverse(n: int) -> Inverse:
    """The inverse that is fast in torch for layers of n coordinates, whatever their weights."""
    if n <= ONE_BLOCK_COORDINATES:
        return Inverse("sequential", n)
    # for 43 and 784 coordinates, 1 to 1024 rows: within a third of the time of the best width
    return Inverse("jacobi", 2 * math.ceil(math.sqrt(n)))


def invert(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    context: Tensor | None,
    inverse: Inverse,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Solve univariate.encode(x, network(x, context)) = z for x.

    Args:
        network: computes the parameters of each coordinate's map.
        univariate: the map of each coordinate.
        z: batch × D, in the network's order.
        context: batch × features, if the network reads one.
        inverse: the method.
        start: the first guesses of x, like z, from which sweeps start; zeros if None.

    Returns:
        x and log|dx/dz|, both batch × D in the network's order. In a row where a coordinate exceeds
        ± `COORDINATE_LIMIT`, it and those after it are NaN.
    """
    xs, log_slopes = [], []

    def solve(first: int, block: Block, before: Sequence[Tensor]) -> list[Tensor]:
        own = slice(first, first + len(block.ends) - 1)
        if inverse.method == "jacobi":
            guess = torch.zeros_like(z[:, own]) if start is None else start[:, own]
            found = _jacobi(network, univariate, z[:, own], before, block, inverse.tolerance, guess)
        else:
            found = _sequential(network, univariate, z[:, own], before, block)
        x, log_slope, *hidden = found
        # beyond the limit the coordinates that follow are undefined
        x = torch.where(x.abs() < COORDINATE_LIMIT, x, torch.nan)
        xs.append(x)
        log_slopes.append(log_slope)
        return [x, *hidden]

    run_by_blocks(network, z[:, :0], context, inverse.width, solve)
    return torch.cat(xs, 1), torch.cat(log_slopes, 1)


def _sequential(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    before: Sequence[Tensor],
    block: Block,
) -> list[Tensor]:
    """Compute one coordinate after another, each unit once.

    Returns:
        x, log|dx/dz|, and the units of each hidden layer, all batch × ….
    """
    log_slopes = []

    def solve(position: int, theta: Tensor) -> Tensor:
        x, log_slope = univariate.decode(z[:, position, None], theta[:, None])
        log_slopes.append(log_slope)
        return x

    x, *hidden = run_by_positions(network, block, before, z[:, :0], solve)
    return [x, torch.cat(log_slopes, 1), *hidden]


def _jacobi(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    before: Sequence[Tensor],
    block: Block,
    tolerance: float,
    start: Tensor,
) -> list[Tensor]:
    """Sweep over all coordinates until they converge; the result is that of `_sequential`."""

    def step(last: Tensor) -> list[Tensor]:
        levels, units = [last], None
        for base, weight in zip(before[:-1], block.within[:-1], strict=True):
            units = network.conditioner.hidden_units(torch.addmm(base, levels[-1], weight), units)
            levels.append(units)
        theta = torch.addmm(before[-1], levels[-1], block.within[-1])
        x, log_slope = univariate.decode(z, theta.view(*z.shape, univariate.size))
        return [x, log_slope, *levels[1:]]

    hidden = [z.new_zeros(len(z), weight.shape[1]) for weight in block.within[:-1]]
    return sweep(step, start, [torch.zeros_like(z), *hidden], tolerance, z.shape[1])
