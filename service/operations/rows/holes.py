"""Holes in rows: no number, one that cannot be held, or text in its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.operations.rows.faults import Fault, RowFaults
from service.store import Model
from service.tables import RawColumn, cause, number_of, numbers_in
from service.types import Floats
from service.work_threads import WorkThreads


@dataclass(frozen=True)
class HoleTexts:
    """What stands in rows of a table in place of numbers.

    Args:
        columns: in the order of the coordinates.
    """

    columns: Sequence[NDArray[Any] | RawColumn]

    def at(self, row: int, coordinate: int) -> str:
        """The text that stands there, and why it is no number; empty where there is none."""
        column = self.columns[coordinate]
        if not isinstance(column, RawColumn) or column.form != "words" or column.missing[row]:
            return ""
        why = cause(str(column.words[int(column.values[row])]))
        return column.value(row) + f", which {why}" * bool(why)


async def find_holes(
    threads: WorkThreads,
    model: Model,
    rows: Floats,
    name: str,
    texts: HoleTexts | None,
    faults: RowFaults,
    deadline: float,
) -> None:
    """Find the rows of a request with `partial` that have holes; see `check_numbers`."""
    columns = model.manifest.column_names if name == "x" else None
    args = rows, name, faults, columns, texts
    await threads.run(rows.size, check_numbers, *args, deadline=deadline)


def check_numbers(
    rows: Floats,
    name: str,
    faults: RowFaults,
    columns: Sequence[str] | None = None,
    texts: HoleTexts | None = None,
    may_lack: bool = False,
) -> None:
    """Find rows that lack a number, or hold one that is not finite.

    Args:
        rows: N × event shape, NaN where there is no number, infinite where none can be held.
        name: of the rows, for people.
        faults: of the request.
        columns: their names, of a model that has some.
        texts: what stands in place of numbers; None where nothing does.
        may_lack: whether NaN is a value: a missing one.

    Raises:
        InvalidInputError: what `RowFaults.check` raises; names row and column.
    """
    sound = ~np.isinf(rows) if may_lack else np.isfinite(rows)
    if np.count_nonzero(sound) == sound.size:
        return

    def describe(place: int, row: int) -> Fault:
        where = np.argwhere(~sound[place])[0].tolist()
        column: str | int | list[int] = where[0] if len(where) == 1 else where
        coordinate = int(np.argmin(sound[place]))
        if columns is not None:
            column = columns[coordinate]
        detail = f"{name}: row {row}, column {column!r:.80} holds no finite {rows.dtype} number"
        if texts is not None and (got := texts.at(row, coordinate)):
            detail += f", but {got}"
        return Fault(detail, {"column": column})

    faulty = ~np.asarray(sound.all(axis=tuple(range(1, sound.ndim))))
    faults.check(faulty, InvalidInputError, describe)


def with_holes(
    column: NDArray[Any] | RawColumn, is_context: bool = False, are_names: bool = False
) -> NDArray[Any]:
    """A column of numbers, NaN where there is none; of a context also of names of classes.

    Args:
        column: it.
        is_context: whether it is one of the context, of which what is no class is found later.
        are_names: whether text of a context is names, whatever it looks like.
    """
    if not isinstance(column, RawColumn):
        return column
    values, wrong = numbers_in(column)
    values[wrong | column.missing] = np.nan
    if not is_context or column.form != "words" or not (are_names or wrong.any()):
        return values
    words = [str(word) if isinstance(word, bool) else word for word in column.words]
    texts = np.array([*words, ""], object)[np.where(column.missing, len(words), column.values)]
    return texts if are_names else np.where(wrong, texts, values)


def no_numbers(name: str, values: NDArray[Any]) -> str:
    """What is said of a column that holds text where numbers are expected: the first, and why."""
    said = f"column {name!r:.80} holds text, expected numbers"
    for row, text in enumerate(values.tolist()):
        if isinstance(text, str) and number_of(text) is None:
            why = cause(text)
            return f"row {row}, {said}, got {text!r:.80}" + f", which {why}" * bool(why)
    return said
