"""Columns of numbers: mixtures of logistics in a warped value, with point masses and cells."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.columns.descriptions import PERIODS, NumberColumn
from models.columns.group import ColumnGroup
from models.columns.logistics import FlooredLogistics
from models.columns.places import LOG_ZERO, Place, floored, log_add, log_subtract, log_sum
from models.columns.warp import Warp, warp_of
from models.numerics import Components, log_sigmoid

# Warped values up to this size are read as they are, larger ones by their logarithm: an outlier
# cannot blow up the network.
LINEAR_UP_TO = 5.0

# The difference of the warped edges of a cell has lost more than half of its digits where it is
# smaller. There the slope is exact: it hardly changes within a cell.
SMALLEST_DIFFERENCE = 1e-7

# A value so far from the lattice, in steps, is none of the lattice.
LATTICE_TOLERANCE = 0.01

# Beyond it values are computed as if they were there.
LARGEST = 1e30


class _Constants(NamedTuple):
    """Constants of C columns; a value is ((v + shift) · p + a) / q, and v is whole on a lattice."""

    warp: Warp
    p: Tensor
    a: Tensor
    q: Tensor
    shift: Tensor
    first: Tensor
    """The lowest v of a closed lattice; −inf of others."""
    last: Tensor
    point_masses: Tensor
    """C × masses: v of lattices, values of continuous columns; increasing, and infinite of columns
    that have fewer masses than others."""
    log_shares: Tensor
    """C × (1 + masses): that of all other values first; `LOG_ZERO` of masses that are not there."""


class Cells(NamedTuple):
    """The cells of values of C columns on the warped axis, N × C each.

    A continuous value is a point: both ends are the value, and its density has a slope.
    """

    low: Tensor
    high: Tensor
    width: Tensor
    """high − low to its last digits; 0 of a point."""
    log_slope: Tensor
    """log dt/dx in nats; 0 of a cell."""


class NumberGroup(ColumnGroup):
    """Columns of numbers that are all continuous or all lattices, with or without point masses.

    The conditional of a column is a mixture of logistics in the warped value, with one fixed broad
    component, and probabilities of its point masses. Parameters of each column: 3 for each
    component; then, with point masses, the logits of all other values and of each mass.

    Args:
        index: the columns' numbers in the row.
        columns: their descriptions.
        components: number of logistics.
        floor: weight of the broad component, and of the marginals in probabilities.
    """

    p: Tensor
    q: Tensor

    def __init__(
        self, index: Sequence[int], columns: Sequence[NumberColumn], components: int, floor: float
    ) -> None:
        first = columns[0]
        self.masses = max(len(column.point_masses) for column in columns)
        self.times = first.features
        self.discrete, self.closed = first.step is not None, first.closed
        self.mixture = FlooredLogistics(components, floor)
        missing = [c.missing_share for c in columns if c.missing_share is not None]
        super().__init__(
            index,
            self.mixture.size + (self.masses + 1 if self.masses else 0),
            1 + self.masses + sum(2 * PERIODS[name][2] for name in self.times),
            missing or None,
            floor,
        )
        for name, values in _constants(columns).items():
            self.register_buffer(name, values, persistent=False)

    def _all(self, column: int | None) -> _Constants:
        """The constants of a column, or of all."""

        def one(name: str) -> Tensor:
            return self._of(self.get_buffer(name), column)

        warp = Warp(*(one(f"warp_{name}") for name in Warp._fields))
        return _Constants(warp, *map(one, _Constants._fields[1:]))

    def _key(self, x: Tensor, c: _Constants) -> Tensor:
        """What tells values apart: v of a lattice, the value of a continuous column."""
        return torch.round((x * c.q - c.a) / c.p) - c.shift if self.discrete else x

    def _coordinate(self, key: Tensor, c: _Constants) -> Tensor:
        """The v of a key."""
        v = key if self.discrete else (key - c.a) / c.p
        return v.clamp(-LARGEST, LARGEST)

    def _from_coordinate(self, v: Tensor, c: _Constants) -> Tensor:
        return ((v + c.shift) * c.p + c.a) / c.q

    def _typical(self, column: int | None) -> Tensor:
        c = self._all(column)
        return self._from_coordinate(torch.zeros_like(c.p), c)

    def _inside(self, x: Tensor, column: int | None) -> Tensor:
        finite = x.abs() < torch.inf
        if not self.discrete:
            return finite
        c = self._all(column)
        v = (x * c.q - c.a) / c.p - c.shift
        k = torch.round(v)
        return finite & ((v - k).abs() <= LATTICE_TOLERANCE) & (k >= c.first) & (k <= c.last)

    def cells(self, x: Tensor) -> tuple[Cells, Tensor]:
        """The cells of values that are in the support, N × C, and their point masses.

        Returns:
            The cells; 1 + the number of the point mass that a value is, 0 where it is none: N × C.
        """
        c = self._all(None)
        key = self._key(x, c)
        masses = key[..., None] == c.point_masses
        numbers = torch.arange(1, self.masses + 1, device=x.device)
        return self._cells(key, c), (masses * numbers).sum(-1)

    def _cells(self, key: Tensor, c: _Constants) -> Cells:
        v = self._coordinate(key, c)
        if not self.discrete:
            t, log_slope = c.warp.forward(v)
            return Cells(t, t, torch.zeros_like(t), log_slope - torch.log(c.p))
        # one call for the three: each is tens of operators in an exported graph
        t, log_slope = c.warp.forward(torch.stack([v - 0.5, v + 0.5, v]))
        low, high, width = t[0], t[1], t[1] - t[0]
        width = torch.where(width > SMALLEST_DIFFERENCE, width, torch.exp(log_slope[2]))
        if self.closed:  # the first and the last cell have all that is beyond
            lowest, highest = v <= c.first, v >= c.last
            low = torch.where(lowest, -LARGEST, low)
            high = torch.where(highest, LARGEST, high)
            width = torch.where(lowest | highest, LARGEST, width)
        return Cells(low, high, width, torch.zeros_like(v))

    def _log_cells(self, cells: Cells, components: Components) -> Tensor:
        """Log-density in nats of values that are no point masses."""
        if self.discrete:
            return self.mixture.log_cell(cells.low, cells.high, cells.width, components)
        return self.mixture.log_density(cells.low, components) + cells.log_slope

    def _log_prob(self, x: Tensor, theta: Tensor, column: int | None) -> Tensor:
        c = self._all(column)
        key = self._key(x, c)
        log_prob = self._log_cells(self._cells(key, c), self._components(theta))
        return self._with_masses(key, log_prob, theta, c)

    def _with_masses(self, key: Tensor, log_rest: Tensor, theta: Tensor, c: _Constants) -> Tensor:
        """The log-density of values from that of values that are no point masses."""
        if not self.masses:
            return log_rest
        log_share, log_masses = self._log_shares(theta, c)
        at = key[..., None] == c.point_masses
        mass = log_sum(log_masses, at)
        if self.discrete:
            return log_add(log_share + log_rest, mass)
        return torch.where(at.any(-1), mass, log_share + log_rest)

    def _place(self, x: Tensor, theta: Tensor, column: int | None = None) -> tuple[Place, Tensor]:
        c = self._all(column)
        return self._place_of(self._key(x, c), theta, c)

    def _place_of(self, key: Tensor, theta: Tensor, c: _Constants) -> tuple[Place, Tensor]:
        """The place of the value of a key, and its log-density."""
        cells, components = self._cells(key, c), self._components(theta)
        log_prob = self._log_cells(cells, components)
        below, above = self.mixture.log_cdf(cells.low, components)
        mass = torch.full_like(below, LOG_ZERO)
        if self.discrete:
            above, mass = self.mixture.log_cdf(cells.high, components)[1], log_prob
        if not self.masses:
            return Place(below, above, mass), log_prob
        log_rest, log_masses = self._log_shares(theta, c)
        value = key[..., None]
        place = Place(
            log_add(log_rest + below, log_sum(log_masses, c.point_masses < value)),
            log_add(log_rest + above, log_sum(log_masses, c.point_masses > value)),
            log_add(log_rest + mass, log_sum(log_masses, c.point_masses == value)),
        )
        return place, self._with_masses(key, log_prob, theta, c)

    def _value(self, y: Tensor, theta: Tensor, column: int | None) -> Tensor:
        c = self._all(column)
        rest, at_mass, mass = y, torch.zeros_like(y, dtype=torch.bool), y
        if self.masses:
            keys = c.point_masses.T[:, None].expand(self.masses, *y.shape)
            left, right = self._place_of(keys, theta, c)[0].ends
            hits = (y >= left) & (y <= right)
            at_mass, mass = hits.any(0), torch.where(hits, keys, -torch.inf).amax(0)
            log_masses = self._log_shares(theta, c)[1]
            below = log_sum(log_masses, (y > right).movedim(0, -1))
            above = log_sum(log_masses, (y < left).movedim(0, -1))
            # F of the rest is (v − below) / P(rest); in the logit the denominator cancels
            rest = log_subtract(log_sigmoid(y), below) - log_subtract(log_sigmoid(-y), above)
        t = self.mixture.quantile(rest, self._components(theta))
        v = c.warp.inverse(t)
        if not self.discrete:
            return torch.where(at_mass, mass, self._from_coordinate(v, c))
        k = torch.clamp(torch.round(v), c.first, c.last)
        # the quantile is exact to its last digits, so that the cell can be the next one
        left, right = self._place_of(k, theta, c)[0].ends
        k = torch.clamp(k + (y > right).to(k) - (y < left).to(k), c.first, c.last)
        return self._from_coordinate(torch.where(at_mass, mass, k), c)

    def _features(self, x: Tensor, column: int | None) -> Tensor:
        c = self._all(column)
        key = self._key(x, c)
        t, _ = c.warp.forward(self._coordinate(key, c))
        linear = t.clamp(-LINEAR_UP_TO, LINEAR_UP_TO)
        t = linear + torch.sign(t) * torch.log1p((t - linear).abs())
        features = [t[..., None]]
        if self.masses:
            at = key[..., None] == c.point_masses
            features = [torch.where(at.any(-1), 0.0, t)[..., None], at.to(t.dtype)]
        for name in self.times:
            angle = angle_of(x, name)
            for harmonic in range(1, PERIODS[name][2] + 1):
                sides = [torch.sin(harmonic * angle), torch.cos(harmonic * angle)]
                features.append(torch.stack(sides, -1))
        return torch.cat(features, -1)

    def _components(self, theta: Tensor) -> Components:
        return self.mixture.components_of(theta[..., : self.mixture.size])

    def _log_shares(self, theta: Tensor, c: _Constants) -> tuple[Tensor, Tensor]:
        """Log-probabilities of all values but the masses, N × C, and of each mass."""
        start = self.mixture.size
        logits = c.log_shares + theta[..., start : start + self.masses + 1]
        log_shares = floored(F.log_softmax(logits, -1), c.log_shares, self.floor)
        return log_shares[..., 0], log_shares[..., 1:]


def _constants(columns: Sequence[NumberColumn]) -> dict[str, Tensor]:
    """The buffers of a group of columns, in float64."""
    scalars = []
    for column in columns:
        if column.step is None:
            scalars.append([column.scale, column.center, 1.0, 0.0, -math.inf, math.inf])
            continue
        shift = column.cell(column.center)
        ends = (column.low, column.high) if column.closed else (-math.inf, math.inf)
        scalars.append([*column.lattice, shift, *(column.cell(end) - shift for end in ends)])
    count = max(len(column.point_masses) for column in columns)
    masses, log_shares = [], []
    for column in columns:
        keys = [
            x if column.step is None else column.cell(x) - column.cell(column.center)
            for x in column.point_masses
        ]
        more = count - len(keys)
        masses.append([*keys, *[math.inf] * more])
        shares = [1 - sum(column.shares), *column.shares]
        log_shares.append([*map(math.log, shares), *[LOG_ZERO] * more])
    exact = torch.float64
    return {
        **{f"warp_{name}": values for name, values in warp_of(columns)._asdict().items()},
        **dict(zip(_Constants._fields[1:7], torch.tensor(scalars, dtype=exact).T, strict=True)),
        "point_masses": torch.tensor(masses, dtype=exact),
        "log_shares": torch.tensor(log_shares, dtype=exact),
    }


def angle_of(seconds: Tensor, name: str) -> Tensor:
    """Where in a period times lie, in radians from 0 to 2π, elementwise.

    Args:
        seconds: since 1970.
        name: a key of `PERIODS`.
    """
    resolution, period, _ = PERIODS[name]
    turns = torch.floor(seconds / resolution) * (resolution / period)
    return 2 * math.pi * (turns - torch.floor(turns))
