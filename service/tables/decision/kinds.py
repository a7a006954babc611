"""The kind of one column, once it is known what its values are."""

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    MAX_NAME_CHARACTERS,
    CategoricalColumn,
    Column,
    Constant,
    Float64,
    NumericColumn,
    Word,
)
from service.tables.decision.exact import as_class, shortest
from service.tables.decision.numbers import (
    are_classes,
    classes_by_frequency,
    lattice_or_numeric,
    step_of,
)
from service.tables.decision.times import datetime_column
from service.tables.decision.understood import Fault, Understood

KINDS = ("numeric", "lattice", "categorical", "datetime", "duration")


def column_of(
    name: str,
    understood: Understood,
    present: NDArray[np.generic],
    missing: bool,
    kind: str | None,
) -> tuple[Column, str]:
    """A column, and why it is of its kind.

    Args:
        name: of the column.
        understood: its values.
        present: those that are not missing; at least one.
        missing: whether others are.
        kind: of `KINDS`, if the user says so.

    Raises:
        Fault: it cannot be of the kind that the user names.
    """
    if understood.form == "classes":
        return _categorical(name, understood, missing)
    if understood.form == "times":
        return datetime_column(name, present.astype(np.float64), missing, understood.time_form)
    values: Float64 = present.astype(np.float64)
    step = step_of(values, understood.single, understood.came_single)
    if kind == "lattice" and step is None:
        raise Fault("its values are multiples of no step", 0)
    if understood.duration is not None:
        as_kind = kind if kind in ("numeric", "lattice") else None
        column, why = lattice_or_numeric(name, values, missing=missing, step=step, as_kind=as_kind)
        said = f"durations in seconds ({understood.duration}): {why}"
        return column.model_copy(update={"duration": understood.duration}), said
    if kind is None:
        distinct, counts = np.unique(values, return_counts=True)
        if why := are_classes(distinct, counts, step):
            kept = classes_by_frequency(tuple(distinct.tolist()), counts)
            exact = values if understood.exact is None else understood.exact[~understood.missing]
            chosen = np.unique(exact)[kept]
            numbers = chosen if understood.came_single else chosen.tolist()
            classes: list[Word] = list(map(as_class, numbers))
            return CategoricalColumn(name=name, missing=missing, classes=classes), why
    column, why = lattice_or_numeric(name, values, missing=missing, step=step, as_kind=kind)
    if understood.came_single and isinstance(column, NumericColumn):
        masses = [shortest(mass) for mass in column.point_masses]
        low, high = min([column.low, *masses]), max([column.high, *masses])
        column = column.model_copy(update={"low": low, "high": high, "point_masses": masses})
    return column, why


def constant_of(name: str, understood: Understood) -> Constant | None:
    """A column of the one value that all rows have; None where that is a very long text."""
    if understood.form == "classes":
        word = understood.words[int(understood.values[0])]
        if isinstance(word, str) and len(word) > MAX_NAME_CHARACTERS:
            return None
        return CategoricalColumn(name=name, missing=True, classes=[word])
    value = float(understood.values[0])
    if understood.came_single:
        value = shortest(value)
    elif understood.exact is not None:  # which is another one in float64
        (exact,) = understood.exact[:1].tolist()
        return CategoricalColumn(name=name, missing=True, classes=[as_class(exact)])
    if understood.form == "times":
        column, _ = datetime_column(name, np.array([value]), True, understood.time_form)
        return column
    return NumericColumn(
        name=name,
        missing=True,
        low=value,
        high=value,
        point_masses=[value],
        duration=understood.duration,
    )


def _categorical(name: str, understood: Understood, missing: bool) -> tuple[CategoricalColumn, str]:
    codes = understood.values.astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(understood.words))
    kept = classes_by_frequency(understood.words, counts)
    classes = [understood.words[code] for code in kept]
    column = CategoricalColumn(
        name=name, missing=missing, classes=classes, other=not understood.is_closed
    )
    if understood.is_closed:
        return column, "true or false"
    rare = int(counts.sum() - counts[kept].sum())
    others = f"; {len(understood.words) - len(kept)} rare ones, in {rare} rows, are one"
    text = "text of" if any(isinstance(each, str) for each in classes) else "values of"
    return column, f"{text} {len(kept)} classes{others * (rare > 0)}"
