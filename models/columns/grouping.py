"""Groups of columns of the same structure."""

from collections.abc import Sequence

from models.columns.categories import CategoryGroup
from models.columns.descriptions import CategoricalColumn, ColumnDescription, NumberColumn
from models.columns.group import ColumnGroup
from models.columns.numbers import NumberGroup


def groups_of(
    columns: Sequence[ColumnDescription], components: int, embedding: int, floor: float
) -> list[ColumnGroup]:
    """Groups of columns of the same structure.

    Args:
        columns: descriptions of all columns.
        components: number of logistics in the conditional of a number.
        embedding: number of features of a class, where a column has more classes than that.
        floor: weight of the marginals in probabilities.
    """
    alike: dict[object, list[int]] = {}
    for i, column in enumerate(columns):
        alike.setdefault(_structure(column), []).append(i)
    groups: list[ColumnGroup] = []
    for index in alike.values():
        members = [columns[i] for i in index]
        numbers = [column for column in members if isinstance(column, NumberColumn)]
        classes = [column for column in members if isinstance(column, CategoricalColumn)]
        groups.append(
            NumberGroup(index, numbers, components, floor)
            if numbers
            else CategoryGroup(index, classes, embedding, floor)
        )
    return groups


def _structure(column: ColumnDescription) -> object:
    """What columns must share to be computed together."""
    missing = column.missing_share is not None
    # unequal numbers of classes, and of point masses, are filled up, to less than twice as many
    if isinstance(column, CategoricalColumn):
        return missing, column.other, (len(column.shares) - 1).bit_length()
    masses, lattice = len(column.point_masses).bit_length(), column.step is not None
    return missing, lattice, column.closed, masses, tuple(column.features)
