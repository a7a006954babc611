"""Which columns of a table are modelled, and as what; why the others are not.

All rows are looked at. What is decided does not depend on the order of the rows, nor on the units
of numbers whose step shows; of columns that are copies of each other, the order of the columns says
which one stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    CategoricalColumn,
    Column,
    Constant,
    DatetimeColumn,
    Float64,
    LatticeColumn,
    LeftOutColumn,
    NumericColumn,
    Reason,
)
from service.tables.decision.copies import (
    Copy,
    Measured,
    affine_copies,
    dependent_columns,
    relabelled,
)
from service.tables.decision.identifiers import (
    MAX_SHARE_EXPLAINED,
    has_too_few_repeats,
    is_consecutive,
    is_mostly_distinct,
    look_drawn,
    share_explained,
)
from service.tables.decision.kinds import column_of, constant_of
from service.tables.decision.numbers import strays
from service.tables.decision.overrides import Overrides, check_overrides
from service.tables.decision.relations import without_copies
from service.tables.decision.understanding import understand
from service.tables.decision.understood import Fault, Understood
from service.tables.raw import RawColumn, RawTable

# Numbers among so many that nobody has counted them out are identifiers if they say nothing.
CELLS_OF_RANDOM_IDENTIFIERS = 2.0**31


@dataclass(frozen=True)
class Decision:
    """What is decided of a table.

    Args:
        columns: those that are modelled, in their order.
        left_out: the others.
        reasons: of each column that is modelled, why it is of its kind.
        problems: columns that cannot be modelled until the table or the overrides are mended; one
            line each, for people.
        notes: what could be otherwise, for people.
        pinned: kinds that an override would name, where what was found could be otherwise.
        understood: the values of each column that is neither dropped nor a problem.
    """

    columns: tuple[Column, ...]
    left_out: tuple[LeftOutColumn, ...]
    reasons: Mapping[str, str]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pinned: Mapping[str, str] = field(default_factory=dict)
    understood: Mapping[str, Understood] = field(default_factory=dict)


def decide(table: RawTable, overrides: Overrides | None = None) -> Decision:
    """Decide the kind of each column of a table.

    Raises:
        TableError: overrides that name no column of the table, name one twice, or no kind; a
            column's name that no manifest can hold.
    """
    return _Deciding(table, overrides or Overrides()).decision()


class _Deciding:
    """The columns of a table that is decided on, step by step."""

    def __init__(self, table: RawTable, overrides: Overrides) -> None:
        self.table, self.overrides = table, overrides
        self.kept = {*overrides.keep, *overrides.kinds}
        self.understood: dict[str, Understood] = {}
        self.columns: dict[str, Column] = {}
        self.left_out: dict[str, LeftOutColumn] = {}
        self.reasons: dict[str, str] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        check_overrides(table, overrides)

    def decision(self) -> Decision:
        for name, raw in self.table.columns.items():
            if name in self.overrides.drop:
                self._leave_out(name, "dropped", "dropped by drop")
                continue
            try:
                self._decide_kind(name, raw)
            except Fault as fault:
                place = f"column {name!r}, {self.table.place(fault.row)}"
                self.problems.append(f"{place}: {fault}; mend it, set its kind or drop it")
        self._leave_out_identifiers()
        self._leave_out_copies()
        pinned = {
            name: each.pinned
            for name, each in self.understood.items()
            if each.pinned and name in self.columns
        }
        return Decision(
            tuple(self.columns.values()),
            tuple(self.left_out.values()),
            {name: self.reasons[name] for name in self.columns},
            tuple(self.problems),
            tuple(self.notes),
            pinned,
            self.understood,
        )

    def _leave_out(
        self, name: str, reason: Reason, detail: str, constant: Constant | None = None
    ) -> None:
        self.columns.pop(name, None)
        found = LeftOutColumn(name=name, reason=reason, detail=detail, constant=constant)
        self.left_out[name] = found

    def _decide_kind(self, name: str, raw: RawColumn) -> None:
        kind = self.overrides.kinds.get(name)
        understood = self.understood[name] = understand(raw, kind)
        if understood.note:
            self.notes.append(f"column {name!r}: {understood.note}")
        missing = bool(understood.missing.any())
        present = understood.values[~understood.missing]
        if not len(present):
            self._leave_out(name, "constant", "has no value in any row", "missing")
        elif name not in self.kept and not missing and (present == present[0]).all():
            constant = constant_of(name, understood)
            self._leave_out(name, "constant", f"is {raw.value(0)} in every row", constant)
        else:
            column, why = column_of(name, understood, present, missing, kind)
            if isinstance(column, NumericColumn) and kind is None:
                self._say_strays(name, raw, understood)
            self.columns[name], self.reasons[name] = column, why

    def _say_strays(self, name: str, raw: RawColumn, understood: Understood) -> None:
        rows = np.flatnonzero(~understood.missing)
        values: Float64 = understood.values[rows].astype(np.float64)
        if found := strays(values):
            step, place, count = found
            row = int(rows[place])
            self.notes.append(
                f"column {name!r}: all but {count} of {len(rows)} values are multiples of "
                f"{step:.6g}; the first that is not is {raw.value(row)} in {self.table.place(row)}"
            )

    def _leave_out_identifiers(self) -> None:
        """Leave out texts, and numbers that were given out, that say nothing but which row it is.

        Numbers are not asked what they say of each other, nor of times: the numbers of orders and
        of customers grow together.
        """
        distinct = {
            name: len(np.unique(each.values[~each.missing]))
            for name, each in self.understood.items()
            if name in self.columns and name not in self.kept
        }
        candidates = {
            name
            for name, count in distinct.items()
            if is_mostly_distinct(count, int((~self.understood[name].missing).sum()))
        }
        numbers = {name for name in candidates if self._is_given_out(name, distinct[name])}
        others = {
            name: column
            for name, column in self.columns.items()
            if name not in numbers
            and not (name in candidates and isinstance(column, CategoricalColumn))
        }
        rows = self._without_copies(others) if numbers and others else np.zeros(0, np.intp)
        asked = [
            self.understood[name]
            for name, column in others.items()
            if not isinstance(column, DatetimeColumn)
        ]
        for name in [name for name in self.columns if name in candidates]:
            understood = self.understood[name]
            every = f"{distinct[name]} values in {int((~understood.missing).sum())} rows"
            if understood.form == "classes":
                text = "text of " * any(isinstance(word, str) for word in understood.words)
                self._leave_out(name, "identifier", f"an identifier: {text}{every}")
            elif name in numbers and len(self.columns) > 1:
                share = share_explained(understood.values.astype(np.float64), asked, rows)
                if share < MAX_SHARE_EXPLAINED:
                    detail = f"an identifier: {every}, whose order tells nothing of the others"
                    self._leave_out(name, "identifier", detail)
                else:
                    self.notes.append(
                        f"column {name!r} numbers the rows, and is kept since its order tells "
                        f"{share:.0%} of another column; new rows will have new numbers: drop it "
                        "if they are not to count as unusual"
                    )
        self._say_drawn(name for name in candidates if name in self.columns and name not in numbers)

    def _say_drawn(self, names: Iterable[str]) -> None:
        """Say which columns of numbers look like identifiers that were drawn.

        They are modelled all the same: a measurement may look so too.
        """
        drawn = {}
        for name in names:
            understood = self.understood[name]
            values = np.unique(understood.values[~understood.missing])
            if understood.form == "numbers" and understood.duration is None and look_drawn(values):
                drawn[name] = values
        others = {name: column for name, column in self.columns.items() if name not in drawn}
        rows = self._without_copies(others) if drawn and others else np.zeros(0, np.intp)
        asked = [self.understood[name] for name in others]
        for name, values in drawn.items():
            order = self.understood[name].values.astype(np.float64)
            if others and not share_explained(order, asked, rows):
                self.notes.append(
                    f"column {name!r} looks like an identifier, and is modelled as a number: its "
                    f"values differ, lie evenly from {values[0]:.0f} to {values[-1]:.0f} and tell "
                    f"nothing of the other columns; --drop {quote(name)}, or drop in a recipe's "
                    "[data], leaves it out"
                )

    def _without_copies(self, columns: Mapping[str, Column]) -> NDArray[np.intp]:
        """The first of each set of rows that are equal in some columns."""
        are_discrete = not any(isinstance(each, NumericColumn) for each in columns.values())
        return without_copies([self.understood[name].values for name in columns], are_discrete)

    def _is_given_out(self, name: str, distinct: int) -> bool:
        """Whether numbers were counted out, or drawn from so many that they never repeat."""
        column, understood = self.columns[name], self.understood[name]
        if understood.form != "numbers" or understood.duration is not None:
            return False
        values = np.unique(understood.values[~understood.missing].astype(np.float64))
        step = column.step if isinstance(column, LatticeColumn) else 0.0
        if not step:
            return False
        cells = float((values[-1] - values[0]) / step) + 1
        rows = int((~understood.missing).sum())
        return (
            is_consecutive(values, step)
            or has_too_few_repeats(distinct, rows, cells)
            or (cells > CELLS_OF_RANDOM_IDENTIFIERS and step == round(step))
        )

    def _leave_out_copies(self) -> None:
        codes = [
            (name, self.understood[name].values.astype(np.int64), are_words)
            for name, are_words in (
                (n, any(isinstance(c, str) for c in column.classes))
                for n, column in self.columns.items()
                if isinstance(column, CategoricalColumn)
            )
            if self.understood[name].form == "classes"
        ]
        self._leave_out_each(relabelled(sorted(codes, key=lambda each: each[0] not in self.kept)))
        self._leave_out_each(affine_copies(self._measured()))
        self._leave_out_each(dependent_columns(self._measured()))

    def _leave_out_each(self, copies: Sequence[Copy]) -> None:
        for copy in copies:
            if copy.name not in self.kept:
                self._leave_out(copy.name, "copy", copy.formula)

    def _measured(self) -> list[Measured]:
        """Columns of numbers and times; those that the user keeps first, which copies are of."""
        measured = [
            Measured(
                name,
                self.understood[name].values.astype(np.float64),
                _step(column),
                self.understood[name].single,
            )
            for name, column in self.columns.items()
            if self.understood[name].form != "classes"
        ]
        return sorted(measured, key=lambda each: each.name not in self.kept)


def _step(column: Column) -> float:
    if isinstance(column, LatticeColumn | DatetimeColumn):
        return column.step or 0.0
    return 0.0
