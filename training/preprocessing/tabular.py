"""The density of a recipe over the typed columns of a data set."""

from collections.abc import Sequence
from typing import Any

from service.tables import CategoricalColumn, Column
from training.config import FlowRecipe, TabularSpec
from training.data import TypedDataset
from training.preprocessing.columns import Float64, fit_columns

# What is of a column's values alone, not of their distribution.
NOT_FITTED = {"name", "format", "duration", "classes"}


def tabular_spec(
    dataset: TypedDataset, recipe: FlowRecipe, context: dict[str, Any] | None
) -> TabularSpec:
    """Specify the density over typed columns that a recipe describes, fitted to training rows.

    Args:
        dataset: the data.
        recipe: family and options.
        context: what the density is conditioned on, as `ContextSpec` takes it.
    """
    return TabularSpec.model_validate(
        {
            "family": recipe.family,
            "columns": dataset.columns,
            "fitted": fit_to_columns(dataset.train.rows, dataset.columns.modelled),
            "rows": len(dataset.train),
            "options": recipe.options,
            "context": context,
        }
    )


def fit_to_columns(rows: Float64, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The numbers of columns that are fitted to training rows, as `fit_columns` has them: N × D."""
    return fit_columns(rows, [_known(column) for column in columns])


def _known(column: Column) -> dict[str, Any]:
    """What `fit_columns` is told of a column."""
    known = column.model_dump(exclude=NOT_FITTED)
    if isinstance(column, CategoricalColumn):
        known["classes"] = len(column.classes)
    return known
