"""The sequential direction of masked networks, at the price of about one pass.

Hidden units sorted by degree need only what comes before them, so each is computed once: what the
blocks before contribute to a block of coordinates is one matrix product a layer, as in a blocked
triangular solve, and what is left inside of the block is small.

`training.export.masked_inverse` writes the same as an ONNX graph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.networks import Block, MaskedMLP
from models.numerics import UnivariateMap

# A coordinate that is not found yet may be anything. It has no say in those before it as long as it
# is finite, and as its units are: with float32 weights they are below this.
COORDINATE_LIMIT = 1e18


@dataclass(frozen=True)
class Inverse:
    """How the coordinates of a block are found; both ways give the same.

    Args:
        method: `sequential`: one after another. `jacobi`: all at once, again and again from what the
            last sweep gave, each block in turn (Song et al. 2021, Gauss–Seidel–Jacobi). As the
            first k coordinates are right after k sweeps, as many as there are in the block do.
        width: coordinates of a block.
        tolerance: of `jacobi`, which stops when no coordinate changes by more than tolerance ·
            max(1, |coordinate|); at 0, when nothing changes at all.

    Raises:
        ValueError: no such method, a width below one, or a tolerance below zero or of `sequential`.
    """

    method: Literal["sequential", "jacobi"]
    width: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in ("sequential", "jacobi"):
            raise ValueError(f"an inverse is ordered or jacobi, not {self.method!r}")
        if self.width < 1:
            raise ValueError(f"a block is at least 1 wide, got {self.width}")
        if not 0 <= self.tolerance < math.inf or (self.tolerance and self.method == "sequential"):
            raise ValueError(f"a tolerance is of jacobi and at least 0, got {self.tolerance}")


# So few coordinates are found one by one in hardly more steps than sweeps take.
ONE_BLOCK_COORDINATES = 8


def default_inverse(n: int) -> Inverse:
    """What is fast for layers of n coordinates in torch, whatever their weights."""
    if n <= ONE_BLOCK_COORDINATES:
        return Inverse("sequential", n)
    # at 43 and 784 coordinates within a third of the best width, from 1 row to 1024
    return Inverse("jacobi", 2 * math.ceil(math.sqrt(n)))


def invert(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    context: Tensor | None,
    inverse: Inverse,
) -> tuple[Tensor, Tensor]:
    """Find x with univariate.encode(x, network(x, context)) = z.

    Args:
        network: gives the parameters of each coordinate's map.
        univariate: the map of each coordinate.
        z: batch × D, in the network's order.
        context: batch × features, where the network reads one.
        inverse: how.

    Returns:
        x and log|dx/dz|, both batch × D in the network's order. A row that leaves ± `COORDINATE_LIMIT` is
        NaN from there on.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    # for each linear layer what it reads of the blocks so far, inputs after the context
    read = [z[:, :0]] * len(network.linears)
    if context is not None:
        read[0] = context
    place = 0
    for block in network.blocks(inverse.width):
        width = len(block.ends) - 1
        before = [torch.addmm(*terms) for terms in zip(block.bias, read, block.before, strict=True)]
        find = _jacobi if inverse.method == "jacobi" else _sequential
        ours = z[:, place : place + width]
        x, log_slope, *hidden = find(network, univariate, ours, before, block, inverse.tolerance)
        # beyond it nothing is known of the coordinates that follow
        x = torch.where(x.abs() < COORDINATE_LIMIT, x, torch.nan)
        read = [torch.cat(pair, 1) for pair in zip(read, [x, *hidden], strict=True)]
        parts.append((x, log_slope))
        place += width
    found, log_slopes = zip(*parts, strict=True)
    return torch.cat(found, 1), torch.cat(log_slopes, 1)


def _sequential(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    before: Sequence[Tensor],
    block: Block,
    _: float,
) -> list[Tensor]:
    """One coordinate after another, each unit once: x, log|dx/dz|, units of each hidden layer."""
    levels = [z[:, :0]] * len(before)
    log_slopes = []
    for place in range(z.shape[1]):
        units: Tensor | None = None
        for i, (base, weight) in enumerate(zip(before, block.within, strict=True)):
            ours = slice(block.ends[place][i + 1], block.ends[place + 1][i + 1])
            above = torch.addmm(base[:, ours], levels[i], weight[: block.seen(place, i), ours])
            if i + 1 < len(before):
                units = network.conditioner.hidden_units(above, units)
                levels[i + 1] = torch.cat([levels[i + 1], units], 1)
        x, log_slope = univariate.decode(z[:, place, None], above[:, None])
        levels[0] = torch.cat([levels[0], x], 1)
        log_slopes.append(log_slope)
    return [levels[0], torch.cat(log_slopes, 1), *levels[1:]]


def _jacobi(
    network: MaskedMLP,
    univariate: UnivariateMap,
    z: Tensor,
    before: Sequence[Tensor],
    block: Block,
    tolerance: float,
) -> list[Tensor]:
    """All coordinates at once, until they stand still: the same as `_sequential` gives."""
    last = torch.zeros_like(z)
    for _ in range(z.shape[1] + 1):
        levels, units = [last], None
        for base, weight in zip(before[:-1], block.within[:-1], strict=True):
            units = network.conditioner.hidden_units(torch.addmm(base, levels[-1], weight), units)
            levels.append(units)
        theta = torch.addmm(before[-1], levels[-1], block.within[-1])
        x, log_slope = univariate.decode(z, theta.view(*z.shape, univariate.size))
        now = torch.where(x.abs() < COORDINATE_LIMIT, x, 0)
        if not ((now - last).abs() > tolerance * last.abs().clamp(min=1)).any():
            break
        last = now
    return [x, log_slope, *levels[1:]]
