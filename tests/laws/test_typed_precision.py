"""Typed columns against references of 300 digits: far tails, large numbers, rare classes."""

from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from models.columns.categories import CategoryGroup
from models.columns.descriptions import CategoricalColumn, NumberColumn
from models.columns.numbers import NumberGroup
from models.columns.warp import TAIL
from models.numerics import logistic_from_normal, normal_from_logistic

COMPONENTS, FLOOR = 3, 1e-4
U = 0.37


def number(slope: float, end: float = 2.0**54, **fields: Any) -> NumberGroup:
    """A column of numbers whose warp is t = v · slope up to |v| = end."""
    x = [-end, 0.0, end]
    warp = {"x": x, "y": [v * slope for v in x], "slope": [slope] * 3}
    column = NumberColumn(**{"kind": "numeric", "warp": warp} | fields)
    return NumberGroup([0], [column], COMPONENTS, FLOOR)


def parameters(group: NumberGroup | CategoryGroup, rows: int, seed: int = 0) -> Tensor:
    """Parameters of a conditional, the same in all rows."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(group.size, generator=generator, dtype=torch.float64).expand(rows, 1, -1)


def encode(
    group: NumberGroup | CategoryGroup, x: Tensor, u: Tensor, theta: Tensor, tolerance: float
) -> Tensor:
    """The latents of values."""
    return normal_from_logistic(group.encode(x, u, theta, tolerance)[0])[0]


def decode(group: NumberGroup | CategoryGroup, z: Tensor, theta: Tensor) -> Tensor:
    """The values of latents."""
    return group.decode(logistic_from_normal(z)[0], theta)


class Reference:
    """The conditional of a column of `number`, in numbers of 300 digits."""

    def __init__(self, group: NumberGroup, theta: Tensor) -> None:
        components = [v[0, 0].tolist() for v in group.mixture.components_of(theta[:1, :, :9])]
        weights = [mpmath.exp(w) for w in components[0]]
        self.weight = [w / mpmath.fsum(weights) for w in weights]
        self.mean, self.log_scale = components[1:]
        extra = theta[0, 0, 9:]
        self.shares = [mpmath.mpf(1)]
        if group.masses:
            prior = group.get_buffer("log_shares")[0].exp().tolist()
            logits = [mpmath.log(p) + x for p, x in zip(prior, extra.tolist(), strict=False)]
            self.shares = floored(logits, prior, FLOOR)
        self.missing = mpmath.mpf(0)
        if group.missing:
            prior = [float(group.missing_share), 1 - float(group.missing_share)]
            logits = [mpmath.log(prior[0]) + float(extra[-1]), mpmath.log(prior[1])]
            self.missing = floored(logits, prior, FLOOR)[0]

    def cdf(self, t: mpmath.mpf) -> mpmath.mpf:
        """F(t) of the mixture."""
        terms = zip(self.weight, self.mean, self.log_scale, strict=True)
        return sum(w / (1 + mpmath.exp(-(t - m) / mpmath.exp(s))) for w, m, s in terms)

    def density(self, t: mpmath.mpf) -> mpmath.mpf:
        """F′(t)."""
        return mpmath.diff(self.cdf, t, h=mpmath.mpf(10) ** -40)


def floored(logits: list[Any], prior: list[float], floor: float) -> list[mpmath.mpf]:
    """The softmax, mixed with the prior."""
    p = [mpmath.exp(logit) for logit in logits]
    return [(1 - mpmath.mpf(floor)) * x / sum(p) + floor * y for x, y in zip(p, prior, strict=True)]


def check(values: Tensor, expected: list[mpmath.mpf], relative: float) -> None:
    """Compare logarithms; an error of a logarithm is a relative error of a probability."""
    for value, reference in zip(values.flatten().tolist(), expected, strict=True):
        size = max(abs(reference), 1)
        assert abs(value - reference) <= relative * size, (value, float(reference))


def quantile(z: Tensor) -> list[mpmath.mpf]:
    """Log of the smaller of Φ(z) and 1 − Φ(z)."""
    return [mpmath.log(mpmath.ncdf(-abs(mpmath.mpf(value)))) for value in z.flatten().tolist()]


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mpmath.workdps(300):
        yield


LATTICES: dict[str, tuple[float, dict[str, Any], list[int]]] = {
    # cells of 1/2 deviation, to 20 deviations and beyond
    "tails": (0.5, {"step": 1.0}, [-400, -60, -40, -9, -1, 0, 1, 2, 7, 41, 80, 2000]),
    # a cell is 1e-9 deviations: edges differ in their last digits
    "fine": (1e-9, {"step": 1.0}, [-(10**10), -(2 * 10**9), -7, 0, 3, 10**9, 2 * 10**10]),
    # whole numbers beyond which float64 has none
    "large": (0.3, {"step": 1.0, "center": 2.0**53 - 60}, [-60, -30, -1, 0, 5, 40, 60]),
    "all of float64": (2.0**-52, {"step": 1.0}, [-(2**53), -(2**52) - 1, -1, 0, 2**51, 2**53 - 1]),
    "masses": (
        0.4,
        {"step": 1.0, "point_masses": [-50.0, 0.0, 3.0], "shares": [0.1, 0.3, 0.2]},
        [-60, -50, -49, -3, 0, 1, 3, 4, 55],
    ),
    "missing": (0.4, {"step": 1.0, "missing_share": 0.2}, [-60, -50, -3, -1, 0, 1, 2, 4, 55]),
}


@pytest.mark.parametrize("name", LATTICES)
def test_cells_and_their_latents(name: str) -> None:
    slope, fields, cells = LATTICES[name]
    group = number(slope, kind="lattice", **fields)
    center = int(fields.get("center", 0))
    x = torch.tensor([[float(k + center)] for k in cells], dtype=torch.float64)
    theta = parameters(group, len(x))
    reference = Reference(group, theta)
    there, (rest, *masses) = 1 - reference.missing, reference.shares
    points = [int(point) for point in fields.get("point_masses", [])]
    log_p, log_side = [], []
    for k in cells:
        t = [mpmath.mpf(slope) * (k + mpmath.mpf(side) / 2) for side in (-1, 1)]
        low, high = map(reference.cdf, t)
        own = sum(p for p, point in zip(masses, points, strict=True) if point == k)
        cell = rest * (high - low) + own
        v = rest * low + sum(p for p, point in zip(masses, points, strict=True) if point < k)
        v += U * cell
        log_p.append(mpmath.log(there * cell))
        log_side.append(mpmath.log(there * min(v, 1 - v)))
    check(group.log_prob(x, theta), log_p, 1e-9 if slope < 1e-8 else 1e-13)
    z = encode(group, x, torch.full_like(x, U), theta, 0.0)
    for latent, expected in zip(quantile(z), log_side, strict=True):
        assert abs(latent - expected) <= 1e-12 * max(abs(expected), 1)


def test_densities_of_numbers_and_their_latents() -> None:
    group = number(0.5, center=3.0, scale=1e-3, point_masses=[3.0], shares=[0.4])
    v = [-100, -40, -3, -0.5, 0.25, 2, 60, 300]
    x = torch.tensor([[3.0 + 1e-3 * value] for value in v], dtype=torch.float64)
    theta = parameters(group, len(x))
    reference = Reference(group, theta)
    rest, mass = reference.shares
    log_p, log_side = [], []
    for value in x.flatten().tolist():
        t = (mpmath.mpf(value) - 3) / mpmath.mpf(1e-3) / 2
        log_p.append(mpmath.log(rest * reference.density(t) / (2 * mpmath.mpf(1e-3))))
        below = rest * reference.cdf(t) + (mass if value > 3 else 0)
        log_side.append(mpmath.log(min(below, 1 - below)))
    check(group.log_prob(x, theta), log_p, 1e-12)
    z = encode(group, x, torch.full_like(x, U), theta, 0.0)
    for latent, expected in zip(quantile(z), log_side, strict=True):
        assert abs(latent - expected) <= 1e-12 * max(abs(expected), 1)


def test_tails_beyond_the_knots_are_logarithmic() -> None:
    slope, end, cells = 0.5, 8.0, [-1000, -9, -8, 0, 8, 9, 50, 10**6, 10**12]
    group = number(slope, end, kind="lattice", step=1.0)
    theta = parameters(group, len(cells))
    reference = Reference(group, theta)

    def warp(v: mpmath.mpf) -> mpmath.mpf:
        beyond = max(abs(v) - end, 0)
        return mpmath.sign(v) * (
            (abs(v) - beyond) * slope + TAIL * mpmath.log(1 + slope * beyond / TAIL)
        )

    x = torch.tensor(cells, dtype=torch.float64)[:, None]
    edges = [[reference.cdf(warp(k + mpmath.mpf(side) / 2)) for side in (-1, 1)] for k in cells]
    # of the last cells, where edges differ in their last digits, the slope is taken
    check(group.log_prob(x, theta), [mpmath.log(high - low) for low, high in edges], 1e-9)
    z = encode(group, x, torch.full_like(x, U), theta, 0.0)
    assert torch.equal(decode(group, z, theta)[:-1], x[:-1])


def test_missing_values_lie_in_the_middle() -> None:
    group = number(0.5, missing_share=0.3)
    theta = parameters(group, 3)
    m = Reference(group, theta).missing
    u = torch.tensor([[0.01], [0.5], [0.9]], dtype=torch.float64)
    nothing = torch.full_like(u, torch.nan)
    check(group.log_prob(nothing, theta), 3 * [mpmath.log(m)], 1e-14)
    z = encode(group, nothing, u, theta, 0.0)
    for latent, place in zip(z.flatten().tolist(), u.flatten().tolist(), strict=True):
        assert abs(mpmath.ncdf(latent) - ((1 - m) / 2 + place * m)) < 1e-15


def test_a_value_whose_place_is_the_median_is_not_missing() -> None:
    columns = [
        CategoricalColumn(kind="categorical", shares=[0.25, 0.5, 0.25], missing_share=0.01 * i)
        for i in range(1, 30)
    ]
    group = CategoryGroup(range(29), columns, 8, FLOOR)
    theta = torch.zeros(1, 29, group.size, dtype=torch.float64)
    x = torch.ones(1, 29, dtype=torch.float64)
    z = encode(group, x, torch.full_like(x, 0.5), theta, 1e-14)
    assert torch.equal(decode(group, z, theta), x)


@pytest.mark.parametrize("slope", [1e-3, 1e-6, 1e-9])
def test_edges_of_cells_of_narrow_conditionals_decode(slope: float) -> None:
    group = number(slope, kind="lattice", step=1.0)
    x = torch.round((3 + torch.linspace(-0.02, 0.02, 999, dtype=torch.float64)) / slope)[:, None]
    theta = torch.zeros(len(x), 1, group.size, dtype=torch.float64)
    theta[..., 3:6] = torch.tensor([5.0, 3.0, 1.0])
    theta[..., 6:9] = -20.0
    for u in (1e-300, 1 - 2**-53):
        z = encode(group, x, torch.full_like(x, u), theta, 1e-14)
        assert torch.equal(decode(group, z, theta), x)


def test_classes_that_the_network_excludes_keep_the_floor() -> None:
    shares = [0.7, 0.2, 0.1 - 1e-6, 1e-6]
    group = CategoryGroup([0], [CategoricalColumn(kind="categorical", shares=shares)], 8, FLOOR)
    theta = torch.tensor([[[0.0, -1000.0, -800.0, -900.0]]], dtype=torch.float64).expand(4, 1, 4)
    x = torch.arange(4, dtype=torch.float64)[:, None]
    total = mpmath.fsum(shares)
    expected = [FLOOR * mpmath.mpf(share) / total for share in shares]
    expected[0] += 1 - mpmath.mpf(FLOOR)
    check(group.log_prob(x, theta), [mpmath.log(p) for p in expected], 1e-14)
    z = encode(group, x, torch.full_like(x, U), theta, 0.0)
    for code, latent in enumerate(z.flatten().tolist()):
        v = mpmath.fsum(expected[:code]) + U * expected[code]
        upper = mpmath.fsum(expected[code + 1 :]) + (1 - mpmath.mpf(U)) * expected[code]
        side = mpmath.ncdf(-abs(mpmath.mpf(latent)))
        assert abs(side / min(v, upper) - 1) < 1e-11


def test_other_classes_keep_at_least_the_mass_of_one_row() -> None:
    column = CategoricalColumn(kind="categorical", shares=[0.9, 0.1 - 1e-5, 1e-5], other=True)
    group = CategoryGroup([0], [column], 8, FLOOR)
    theta = torch.tensor([[[0.0, 0.0, -1000.0]]], dtype=torch.float64)
    x = torch.tensor([[2.0]], dtype=torch.float64)
    assert float(group.log_prob(x, theta).exp()) >= FLOOR


@pytest.mark.parametrize(
    ("step", "p", "q"), [(0.1, 1, 10), (0.05, 1, 20), (2.5, 5, 2), (1 / 3, 1, 3)]
)
def test_lattice_values_are_those_that_are_written(step: float, p: int, q: int) -> None:
    group = number(0.1, kind="lattice", step=step, origin=3 * step)  # 0.30000000000000004
    x = torch.tensor([[k * p / q] for k in range(-20, 21)], dtype=torch.float64)
    theta = parameters(group, len(x))
    z = encode(group, x, torch.full_like(x, 0.9), theta, 1e-14)
    assert torch.equal(decode(group, z, theta), x)
