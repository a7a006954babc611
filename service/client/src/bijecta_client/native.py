"""Bodies and answers of the native routes, in JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import tables
from bijecta_client.bodies import context_of_part, numbers, to_json
from bijecta_client.errors import UnreadableError
from bijecta_client.exchange import MALFORMED


class Body:
    """A question of rows, of which a part can be made.

    Args:
        head: what every part says.
        rows: of the field that this names, columns by name, or an array.
        context: of a conditional model, if any.
    """

    def __init__(
        self,
        head: Mapping[str, Any],
        field: str,
        rows: tables.Columns | NDArray[Any],
        context: ArrayLike | None,
    ) -> None:
        self._head = {key: value for key, value in head.items() if value is not None}
        self._field = field
        self._rows = rows
        self._context = None if context is None else plain_context(context)
        if isinstance(rows, dict):
            self.n = len(next(iter(rows.values()), []))
            self.width = len(rows)
        else:
            self.n = len(rows) if rows.ndim else 1
            self.width = rows.size // max(self.n, 1)
        if self._context is not None:
            self.width += self._context.size // max(self.n, 1)

    def part(self, start: int, stop: int) -> bytes:
        """Of the rows from one number up to another.

        Raises:
            RefusedError: the context has neither one row nor as many as there are rows.
        """
        content = dict(self._head)
        rows = self._rows
        if isinstance(rows, dict):
            content[self._field] = {name: values[start:stop] for name, values in rows.items()}
        else:
            content[self._field] = rows[start:stop] if rows.ndim else rows
        if self._context is not None:
            content["context"] = context_of_part(self._context, self.n, start, stop)
        return to_json(content)


def plain_context(values: ArrayLike) -> NDArray[Any]:
    """Numbers and classes as JSON has them, null for NaN; of one value a row of one."""
    given = np.atleast_1d(np.asarray(values, object))
    plain: NDArray[Any] = np.empty(given.size, object)
    plain[:] = [tables.plain(value) for value in given.flat]
    return plain.reshape(given.shape)


def end(name: str, row: ArrayLike | Mapping[str, Any]) -> dict[str, Any] | NDArray[Any]:
    """An end of a path, by name or as an array, with null for NaN."""
    if isinstance(row, Mapping):
        return tables.row_of(name, row)
    values = numbers(name, row)
    return np.where(np.isnan(values), None, values)  # type: ignore[call-overload, no-any-return]


def arrays(
    said: Mapping[str, Any], outputs: Sequence[str], dtype: type[np.float32 | np.float64]
) -> dict[str, Any]:
    """The outputs of an answer as arrays, with NaN for null; `rows` as they are.

    Raises:
        UnreadableError: it lacks one, or one is no array.
    """
    try:
        return {
            name: _records(said[name]) if name == "rows" else np.array(said[name], dtype)
            for name in outputs
        }
    except MALFORMED as error:
        raise UnreadableError(f"the answer is none: {error!r}", 200) from None


def mark_outside(log_prob: NDArray[Any], said: Mapping[str, Any]) -> None:
    """Put −inf where an answer's null says so, and not that the row has no answer.

    Raises:
        UnreadableError: it does not say which rows have none.
    """
    try:
        errors = said.get("errors", [])
        failed = {int(error["row"]) for error in errors}
        is_outside = np.isnan(log_prob)
        if "error_count" in said:  # they are not all listed, those outside are
            listed = np.zeros(len(log_prob), bool)
            listed[[int(row) for row in said.get("outside_support", [])]] = True
            is_outside &= listed
        is_outside[list(failed)] = False
    except MALFORMED as error:
        raise UnreadableError(f"errors: expected rows: {error!r}", 200) from None
    log_prob[is_outside] = -np.inf


def _records(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not set(map(type, rows)) <= {dict}:
        raise ValueError(f"rows: expected a list of objects, got {rows!r:.80}")
    return rows
