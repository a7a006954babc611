"""−log p of densities over typed columns, as a part of a score."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models import zoo
from models.columns import PERIODS, TypedColumns
from service.tables import Column, DatetimeColumn, LatticeColumn, NumericColumn, on_lattice
from training.config import FitRecipe
from training.detectors.parts.members import Fitted, all_but_folds
from training.detectors.specification import TypedPart
from training.fit import fit_steps
from training.preprocessing import Float64, fit_to_columns

WARM_UP = 20


class TypedDensities(nn.Module):
    """−log p of rows by the density of each member.

    Args:
        part: its options, with the numbers fitted to the rows of each member.
        values, context: numbers of columns and of context features.
    """

    periods: Tensor

    def __init__(self, part: TypedPart, values: int, context: int) -> None:
        super().__init__()
        self.densities = nn.ModuleList(
            zoo.build_tabular(
                fitted,
                part.rows,
                context_shape=(context,) if context else None,
                options=part.options | {"seed": part.options.get("seed", 0) + i},
            )
            for i, fitted in enumerate(part.fitted)
        )
        periods = torch.tensor(part.periods or [0.0] * values, dtype=torch.float64)
        self.register_buffer("periods", periods, persistent=False)

    @property
    def members(self) -> list[TypedColumns]:
        """The density of each member."""
        return [density for density in self.densities if isinstance(density, TypedColumns)]

    def forward(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Scores of each member: N × members."""
        values = repeating(values, self.periods)
        return -torch.stack([density.log_prob(values, context) for density in self.members], 1)


def repeating(values: Tensor, periods: Tensor) -> Tensor:
    """Values as the density takes them, remainders by the period of their column: N × D.

    Args:
        values: N × D.
        periods: D; 0 where there is none.
    """
    there = torch.where(periods > 0, periods, 1.0)
    return torch.where(periods > 0, values - torch.floor(values / there) * there, values)


def _period(column: Column) -> float:
    """Seconds after which the times of a column repeat: a week, or a day; 0 of others."""
    if not isinstance(column, DatetimeColumn) or not column.features:
        return 0.0
    return PERIODS["hour" if column.features == ["hour"] else "weekday"][1]


def _within(column: Column, period: float) -> Column:
    """A column whose times are remainders: their hours and weekdays are those of the times."""
    if not isinstance(column, DatetimeColumn) or not period:
        return column
    kept = [name for name in column.features if PERIODS[name][1] <= period]
    return column.model_copy(update={"low": 0.0, "high": period, "features": kept})


def ordinary(
    column: Column, values: Float64, part: TypedPart, generator: torch.Generator
) -> tuple[Column, Float64]:
    """A column without the values of weight that only show to how many digits they were rounded.

    Of numbers that are rounded to differing digits the rounder ones are values of weight, dozens of
    them. As such they are likelier than the numbers between them, and −log p tells how a number was
    rounded and not how unusual it is: AUROC in % of −log p with all of them and without, thyroid
    85.7 and 98.9, annthyroid 87.9 and 92.8, PlanetaryEmissions 64.3 and 71.8. A column with few,
    such as a value at which a sensor clips, keeps them: pendigits 97.1, without 94.1.

    Args:
        column: of any kind.
        values: of the column in the training rows, N.
        part: its limits.
        generator: of random numbers.

    Returns:
        The column, and the values with the rounder ones spread over what was rounded to them.
    """
    if not isinstance(column, NumericColumn | LatticeColumn):
        return column, values
    masses = np.array(column.point_masses)
    if len(masses) <= part.max_point_masses:
        return column, values
    is_kept = np.array([np.mean(values == mass) >= part.min_mass for mass in masses])
    rounded = np.isin(values, masses[~is_kept])
    width = float(np.diff(masses).min())
    shift = width * (torch.rand(len(values), generator=generator).numpy() - 0.5)
    moved = (values + shift)[rounded]
    if isinstance(column, LatticeColumn):
        moved = on_lattice(moved, column.step, column.origin)
    spread = values.copy()
    spread[rounded] = np.clip(moved, column.low, column.high)
    return column.model_copy(update={"point_masses": masses[is_kept].tolist()}), spread


def fit_typed(
    part: TypedPart,
    rows: Float64,
    columns: Sequence[Column],
    context: Tensor | None,
    groups: Tensor,
    generator: torch.Generator,
) -> Fitted[TypedPart]:
    """Fit the columns of each member, then its network, to all rows but those of a fold.

    Args:
        part: its options.
        rows: the training rows, N × D.
        columns: what the D columns are.
        context: features of their contexts, N × C, or None.
        groups: of equal rows, see `members.groups_of`.
        generator: of random numbers.
    """
    periods = [_period(column) for column in columns]
    found = [
        ordinary(_within(column, period), rows[:, i], part, generator)
        for i, (column, period) in enumerate(zip(columns, periods, strict=True))
    ]
    columns = [column for column, _ in found]
    rows = np.stack([values for _, values in found], 1)
    x = repeating(torch.from_numpy(rows), torch.tensor(periods, dtype=torch.float64))
    folds = all_but_folds(groups, part.members, generator)
    seen = [chosen[: part.rows] for chosen in folds]
    count = min(map(len, seen))
    steps = part.steps_of(count)
    fitted = part.model_copy(
        update={
            "rows": count,
            "steps": steps,
            "epochs": 0.0,
            "periods": periods,
            "fitted": [fit_to_columns(x[chosen].numpy(), columns) for chosen in seen],
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        module = TypedDensities(fitted, rows.shape[1], 0 if context is None else context.shape[1])
    for density, chosen in zip(module.members, seen, strict=True):
        recipe = FitRecipe(
            batch_size=part.batch_size,
            learning_rate=part.learning_rate,
            weight_decay=part.weight_decay,
            warm_up=WARM_UP,
            schedule="cosine",
            seed=int(torch.randint(2**31, (1,), generator=generator)),
        )
        of_rows = None if context is None else context[chosen].float()
        fit_steps(density, x[chosen], of_rows, recipe, steps)
        # at zero each column has its marginal distribution
        with torch.no_grad():
            for parameter in density.network.last.parameters():
                parameter.mul_(part.dependence)
    return Fitted(fitted, module.eval().requires_grad_(False), seen)
