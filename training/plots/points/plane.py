"""What plots of flows of two numbers have in common."""

import numpy as np

from training.errors import PlotError
from training.plots.subject import Array, Float64, Rows, Subject, shown_value

# The part of points that a view leaves out on each side, and its margin in parts of its width.
LEFT_OUT, MARGIN = 0.003, 0.12

View = Float64
"""Of a picture: ((left, bottom), (right, top))."""


def check_plane(subject: Subject) -> None:
    """Check that a model is of two numbers.

    Raises:
        PlotError: it is not.
    """
    if subject.traits.columns is not None:
        raise PlotError("it is for flows of numbers, not for typed columns")
    if subject.traits.event_shape != (2,):
        raise PlotError(
            f"it is for flows of two numbers, rows have shape {list(subject.traits.event_shape)}"
        )


def view_of(points: Array) -> View:
    """The box that shows points, a few of them far out aside."""
    low, high = np.quantile(points.astype(np.float64), [LEFT_OUT, 1 - LEFT_OUT], axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-9)
    view: View = np.stack([low - margin, high + margin])
    return view


def some_rows(subject: Subject, most: int) -> Rows | None:
    """The first held-out rows, of a conditional model those of one context; None without any."""
    rows = subject.rows_if_any
    if rows is None:
        return None
    values, context = rows.values, rows.context
    if context is not None:
        chosen = (context == subject.contexts(1)).all(1)
        if not chosen.any():
            return None
        values, context = values[chosen], context[chosen]
    return Rows(values[:most], None if context is None else context[:most], rows.said)


def one_context(subject: Subject, n: int) -> Array | None:
    """The same context n times, of a conditional model; None without a context."""
    first = subject.contexts(1)
    return None if first is None else np.repeat(first, n, 0)


def given(subject: Subject) -> str:
    """What the model is conditioned on, for a title; empty without a context."""
    first = subject.contexts(1)
    if first is None:
        return ""
    columns = zip(subject.traits.context, first[0], strict=True)
    said = ", ".join(f"{column.name} = {shown_value(column, value)}" for column, value in columns)
    return f", given {said}"
