"""What is found in a table: a line for each column, and warnings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.tables import (
    Column,
    DatetimeColumn,
    Decision,
    Overrides,
    RawColumn,
    RawTable,
    TableError,
    Understood,
    decide,
    duration_texts,
    outlier,
    row_digests,
    texts_of,
    to_rows,
)
from training.config import FileSource
from training.data import divide, read_raw
from training.errors import DataError

# Rows that can be divided into those to train on and those to hold out.
MIN_DIVISIBLE_ROWS = 20

SHOWN_CHARACTERS = 24


@dataclass(frozen=True)
class ColumnReport:
    """What a column holds.

    Args:
        name: of the column.
        kind: its kind; empty if it is left out or cannot be modelled.
        missing: in how many rows it has no value.
        distinct: how many different values it has.
        commonest: the value in most rows; empty where there is none.
        share: of the rows that have it.
        low, high: the smallest and the largest number or time; empty of classes.
        what: is done with it, and why.
        column: how it is modelled; None if it is not.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    commonest: str
    share: float
    low: str
    high: str
    what: str
    column: Column | None


@dataclass(frozen=True)
class Inspection:
    """What is found in a table.

    Args:
        path: of the table.
        rows: how many it has.
        columns: one for each column of the table, in its order.
        warnings: what may be wrong, and what was guessed, for people; one line each.
        decision: which columns are modelled, and as what.
    """

    path: Path
    rows: int
    columns: Sequence[ColumnReport]
    warnings: Sequence[str]
    decision: Decision


def inspect_table(path: Path, source: FileSource, overrides: Overrides) -> Inspection:
    """Read a table, decide on its columns and look for what may be wrong.

    Raises:
        DataError: it cannot be read, or the overrides name no column of it, or no kind.
    """
    table = read_raw(path, source, overrides.drop)
    found = inspect_raw(table, path, overrides)
    warnings = [*found.warnings, *_duplicates(table, found.decision, source)]
    return replace(found, warnings=warnings)


def inspect_raw(table: RawTable, path: Path, overrides: Overrides) -> Inspection:
    """Decide on the columns of a table that is read, and look for what may be wrong.

    Raises:
        DataError: the overrides name no column of it, or no kind.
    """
    try:
        decision = decide(table, overrides)
    except TableError as error:
        raise DataError(f"{path}: {error}") from None
    columns = {column.name: column for column in decision.columns}
    left_out = {column.name: column for column in decision.left_out}
    reports = []
    for name, raw in table.columns.items():
        if name in columns:
            what = f"{decision.reasons[name]}{_besides(columns[name])}"
        elif name in left_out:
            what = f"left out: {left_out[name].detail}"
        else:
            what = "cannot be modelled, see below"
        understood = decision.understood.get(name)
        reports.append(_report(name, raw, understood, columns.get(name), what))
    warnings = [*table.notes, *decision.problems, *decision.notes]
    if not columns:
        warnings.append("no column can be modelled")
    warnings += _outliers(table, decision)
    return Inspection(path, table.rows, reports, warnings, decision)


def _besides(column: Column) -> str:
    """What is said of closed ends, and of values of large weight."""
    ends = "; none beyond its ends" * getattr(column, "closed", False)
    masses = getattr(column, "point_masses", [])
    if not masses:
        return ends
    told = ", ".join(f"{mass:.6g}" for mass in masses[:4]) + ", …" * (len(masses) > 4)
    verb, whose = ("has", "its") if len(masses) == 1 else ("have", "their")
    return f"{ends}; {told} {verb} a probability of {whose} own"


def _report(
    name: str, raw: RawColumn, understood: Understood | None, column: Column | None, what: str
) -> ColumnReport:
    values = raw.values if understood is None else understood.values
    missing = raw.missing if understood is None else understood.missing
    distinct, counts = np.unique(values[~missing], return_counts=True)
    commonest, share, low, high = "", 0.0, "", ""
    if len(distinct):
        place = int(counts.argmax())
        share = float(counts[place] / len(values))
        shown = _texts(distinct[[place, 0, -1]], raw, understood, column)
        commonest = shown[0]
        if understood is not None and understood.form != "classes":
            low, high = shown[1:]
    return ColumnReport(
        name,
        "" if column is None else column.kind,
        int(missing.sum()),
        len(distinct),
        commonest,
        share,
        low,
        high,
        what,
        column,
    )


def _texts(
    values: NDArray[np.generic],
    raw: RawColumn,
    understood: Understood | None,
    column: Column | None,
) -> list[str]:
    """Values of a column for people."""
    form = raw.form if understood is None else understood.form
    if form == "times":
        found = raw.time_form if understood is None else understood.time_form
        written = column.format if isinstance(column, DatetimeColumn) else found
        return texts_of(values.astype(np.float64), written or "%Y-%m-%dT%H:%M:%S")
    if understood is not None and understood.duration is not None:
        return duration_texts(values.astype(np.float64), understood.duration)
    if form == "numbers":
        return [f"{float(value):.10g}" for value in values.astype(np.float64)]
    words = raw.words if understood is None else understood.words
    texts = [str(words[int(code)]) for code in values.astype(np.int64)]
    return [t if len(t) <= SHOWN_CHARACTERS else f"{t[: SHOWN_CHARACTERS - 1]}…" for t in texts]


def _outliers(table: RawTable, decision: Decision) -> list[str]:
    """Values that make most of their column's variance, by the file's row."""
    found = []
    for column in decision.columns:
        understood = decision.understood[column.name]
        if understood.form == "classes" or column.kind == "categorical":
            continue
        rows = np.flatnonzero(~understood.missing)
        far = outlier(understood.values[rows].astype(np.float64))
        if far is not None:
            row = int(rows[far[0]])
            found.append(
                f"column {column.name!r} is {table.columns[column.name].value(row)} in "
                f"{table.place(row)}, which makes {100 * far[1]:.3g} % of its variance"
            )
    return found


def _duplicates(table: RawTable, decision: Decision, source: FileSource) -> list[str]:
    """How many rows repeat others in all columns that are modelled."""
    if not decision.columns:
        return []
    names = [column.name for column in decision.columns]
    rows = to_rows({name: table.columns[name] for name in names}, decision.columns).rows
    digests = row_digests(rows, max(1, 2**24 // rows.shape[1]))
    distinct, groups = np.unique(digests, axis=0, return_inverse=True)
    repeated = len(rows) - len(distinct)
    if not repeated:
        return []
    said = f"{repeated} of {len(rows)} rows repeat other rows"
    if len(rows) < MIN_DIVISIBLE_ROWS:
        return [said]
    train, *held_out = divide([len(rows)], source, None)
    groups = groups.reshape(-1)
    straddling = int(np.isin(groups[np.concatenate(held_out)], groups[train]).sum())
    return [
        f"{said}: divided one by one, {straddling} of {sum(map(len, held_out))} held-out rows "
        "would be trained on too"
    ]
