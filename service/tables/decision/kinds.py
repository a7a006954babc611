"""The kind of one column, once it is known what its values are."""

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    MAX_NAME_CHARACTERS,
    CategoricalColumn,
    Column,
    Constant,
    DatetimeColumn,
    Float64,
    NumericColumn,
    TimeFeature,
    Word,
)
from service.tables.dates import CLOCKS, DAY
from service.tables.decision.exact import as_class, shortest
from service.tables.decision.numbers import (
    are_classes,
    classes_by_frequency,
    lattice_or_numeric,
    step_of,
)
from service.tables.decision.understood import Fault, Understood

KINDS = ("numeric", "lattice", "categorical", "datetime", "duration")

# Seconds that times are multiples of, the largest first.
STEPS = (DAY, 3600.0, 1800.0, 900.0, 600.0, 300.0, 60.0, 30.0, 15.0, 10.0, 5.0, 1.0)

# Days that times span for a feature to tell more than the time itself: once round, or nearly. Of
# rows of less than a year all later ones have days that none of these has: a detector of 297 days
# of payments gave 7.2 % of the next 33 days p-values of at most 5 %, without the day of year 5.4 %.
DAYS_FOR_WEEKDAY = 7
DAYS_FOR_DAY_OF_YEAR = 360


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
        return _datetime_column(name, present.astype(np.float64), missing, understood.time_form)
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
        column, _ = _datetime_column(name, np.array([value]), True, understood.time_form)
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


def _datetime_column(
    name: str, seconds: Float64, missing: bool, form: str
) -> tuple[DatetimeColumn, str]:
    """A column of times (seconds since 1970 in UTC), written as `form`, and why it is as it is."""
    step = next((step for step in STEPS if not (seconds % step).any()), None)
    features = _features(seconds)
    column = DatetimeColumn(
        name=name,
        missing=missing,
        low=float(seconds.min()),
        high=float(seconds.max()),
        step=step,
        features=features,
        format=_written(form, step),
    )
    whole = {None: "any time", DAY: "dates", 3600.0: "whole hours", 60.0: "whole minutes"}
    kind = whole.get(step) or f"multiples of {step:g} s"
    zone = "" if "%z" in form or "%d" not in column.format else ", taken as UTC"
    reads = ", ".join(features).replace("_", " ")
    return column, kind + zone + (f"; reads {reads}" if reads else "")


def _features(seconds: Float64) -> list[TimeFeature]:
    """What varies, and repeats within the span of the times."""
    days = np.floor(seconds / DAY)
    span = float(np.ptp(days))
    found: list[TimeFeature] = []
    if len(np.unique(seconds % DAY)) > 1:
        found.append("hour")
    if span >= DAYS_FOR_WEEKDAY and len(np.unique(days % 7)) > 1:
        found.append("weekday")
    if span >= DAYS_FOR_DAY_OF_YEAR:
        found.append("day_of_year")
    return found


def _written(form: str, step: float | None) -> str:
    """A form of times that is as exact as their step."""
    form = form or "%Y-%m-%dT%H:%M:%S"
    clock = next((clock for clock in CLOCKS if clock in form), None)
    if clock is None:
        return form
    if step == DAY and "%d" in form and "%z" not in form:
        return form.partition(clock)[0].rstrip("T ")
    exact = CLOCKS[0] if step is None else CLOCKS[1] if step % 60 else CLOCKS[2]
    return form.replace(clock, exact)
