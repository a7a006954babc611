"""The values of a table as a file or a request holds them, before their kinds are known.

A column is numbers, times or words. Of words each distinct one is kept once, and the column is
their codes, so that whatever is found out about a text is found out once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, TableError, Word, class_key
from service.tables.dates import texts_of

Form = Literal["numbers", "times", "words"]

# Characters of a value that a message shows.
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RawColumn:
    """The values of a column.

    Args:
        form: what they are.
        values: N; numbers of any type, seconds since 1970 in UTC, or codes of the words.
        missing: N, whether a value is missing; what `values` holds there means nothing.
        words: text, truth values or, among those, numbers; each once.
        time_form: how times are written, see `dates.is_form`; empty where the file says nothing.
    """

    form: Form
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    words: tuple[Word, ...] = ()
    time_form: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def value(self, row: int) -> str:
        """A value for people."""
        if self.missing[row]:
            return "missing"
        value = self.values[row]
        if self.form == "times":
            return texts_of(np.array([value]), self.time_form or "%Y-%m-%dT%H:%M:%S")[0]
        if self.form == "words":
            text = repr(self.words[int(value)])
            return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
        return f"{value:.15g}" if value.dtype == np.float64 else str(value)

    def word(self, row: int) -> Word | None:
        """A value as JSON has it; a time as text."""
        if self.missing[row] or self.form == "times":
            return None if self.missing[row] else self.value(row)
        number: int | float = self.values[row].item()
        return number if self.form == "numbers" else self.words[int(number)]

    def taken(self, rows: NDArray[Any]) -> "RawColumn":
        """The values of some rows."""
        return RawColumn(
            self.form, self.values[rows], self.missing[rows], self.words, self.time_form
        )


@dataclass(frozen=True)
class RawTable:
    """The columns of a table by name, N rows each.

    Args:
        columns: in the order of the file.
        rows: N.
        place: from a row's number, from 0, to where the file has it: `line 7`.
        notes: what was guessed about the file, for people.
        has_names: whether the names are the file's own.
    """

    columns: Mapping[str, RawColumn]
    rows: int
    place: Callable[[int], str] = "row {}".format
    notes: Sequence[str] = field(default=())
    has_names: bool = True

    def taken(self, rows: NDArray[np.intp]) -> "RawTable":
        """Some rows, whose places stay those in the file; words that they lack are forgotten."""
        columns = {name: column.taken(rows) for name, column in self.columns.items()}
        columns = {
            name: column
            if column.form != "words"
            else _from_codes(column.values, column.missing, column.words)
            for name, column in columns.items()
        }
        return replace(
            self, columns=columns, rows=len(rows), place=lambda row: self.place(int(rows[row]))
        )

    def without(self, names: Collection[str]) -> "RawTable":
        """The other columns."""
        columns = {name: raw for name, raw in self.columns.items() if name not in names}
        return replace(self, columns=columns)


def from_array(values: NDArray[Any]) -> RawColumn:
    """An array of numbers, truth values, text, times, or of Python objects of these.

    Raises:
        TableError: it holds something else.
    """
    kind = values.dtype.kind
    if kind in "iu":
        return RawColumn("numbers", values, np.zeros(len(values), bool))
    if kind == "f":
        return RawColumn("numbers", values, np.isnan(values))
    if kind == "b":
        return _from_codes(values.astype(np.int64), np.zeros(len(values), bool), (False, True))
    if kind == "M":
        missing = np.isnat(values)
        return RawColumn("times", _seconds(values), missing)
    if kind == "m":
        seconds = values / np.timedelta64(1, "s")
        return RawColumn("numbers", seconds, np.isnan(seconds))
    if kind in "UOT":
        return from_values(values.tolist())
    raise TableError(f"expected numbers, text or times, got {values.dtype}")


def from_values(values: Sequence[Any]) -> RawColumn:
    """Python values: numbers, text, truth values and None, as JSON has them.

    Raises:
        TableError: it holds lists or other objects.
    """
    kinds = set(map(type, values))
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        missing = np.array([value is None for value in values], bool)
        try:
            numbers = np.array([0 if value is None else value for value in values])
        except OverflowError:
            numbers = np.array([], object)
        if numbers.dtype.kind not in "if":  # whole numbers beyond 64 bits
            numbers = np.array([_as_float(value) for value in values], np.float64)
        if numbers.dtype.kind == "f":
            missing |= np.isnan(numbers)
        return RawColumn("numbers", numbers, missing)
    if kinds <= {str, type(None)}:
        texts = tuple([text for text in dict.fromkeys(values) if text is not None])
        numbering = dict(zip(texts, range(len(texts)), strict=True)) | {None: 0}
        coded = np.fromiter(map(numbering.__getitem__, values), np.int64, len(values))
        missing = np.array([value is None for value in values], bool)
        return RawColumn("words", coded, missing, texts)
    codes: dict[tuple[str, Word], int] = {}
    words: list[Word] = []
    result = np.empty(len(values), np.int64)
    missing = np.zeros(len(values), bool)
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and value != value):
            missing[row], result[row] = True, 0
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, str | int | float | bool):
            raise TableError(
                f"row {row}: expected a number, text, true, false or null, got "
                f"{type(value).__name__}"
            )
        key = class_key(value)
        code = codes.setdefault(key, len(words))
        if code == len(words):
            words.append(value)
        result[row] = code
    return RawColumn("words", result, missing, tuple(words))


def _as_float(value: int | float | None) -> float:
    if value is None:
        return 0.0
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _seconds(values: NDArray[Any]) -> Float64:
    """Seconds since 1970 of numpy's times: whole seconds and fractions apart, so as to be exact."""
    whole = values.astype("datetime64[s]")
    fraction = (values - whole) / np.timedelta64(1, "s")
    seconds: Float64 = whole.astype(np.int64).astype(np.float64) + fraction
    return seconds


def _from_codes(
    codes: NDArray[np.int64], missing: NDArray[np.bool_], words: Sequence[Word]
) -> RawColumn:
    """Words by codes; those that no row has are left out, and equal ones are one."""
    used, inverse = np.unique(codes[~missing], return_inverse=True)
    numbers: dict[tuple[str, Word], int] = {}
    kept: list[Word] = []
    renumbered = np.empty(len(used), np.int64)
    for i, code in enumerate(used.tolist()):
        key = class_key(words[code])
        renumbered[i] = numbers.setdefault(key, len(kept))
        if renumbered[i] == len(kept):
            kept.append(words[code])
    result = np.zeros(len(codes), np.int64)
    result[~missing] = renumbered[inverse]
    return RawColumn("words", result, missing, tuple(kept))


def from_arrow(name: str, column: Any) -> dict[str, RawColumn]:
    """A column of an Arrow table by name: one, or `name.0`, `name.1` … of lists of one length.

    Args:
        name: of the column.
        column: a `pyarrow.ChunkedArray`.

    Raises:
        TableError: it holds neither numbers nor text nor times nor truth values.
    """
    import pyarrow as pa  # large, and no part of a service that reads none

    kind = column.type
    if pa.types.is_fixed_size_list(kind) and column.null_count == 0:
        flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        inner = from_arrow(name, flat)[name]
        rows = np.arange(len(flat)).reshape(-1, kind.list_size)
        return {f"{name}.{i}": inner.taken(rows[:, i]) for i in range(kind.list_size)}
    return {name: _from_arrow(name, column)}


def _from_arrow(name: str, column: Any) -> RawColumn:
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind = pa.types, column.type
    if types.is_dictionary(kind) and not _is_text(types, kind.value_type):
        column, kind = column.cast(kind.value_type), kind.value_type
    missing = np.asarray(column.is_null().to_numpy(), bool)
    if types.is_null(kind):
        return RawColumn("numbers", np.zeros(len(column)), missing)
    if types.is_dictionary(kind) or _is_text(types, kind):
        if not types.is_dictionary(kind):
            column = pc.dictionary_encode(column.cast(pa.large_string()))
        encoded = column.combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):  # none, or several that are too long for one
            encoded = encoded.unify_dictionaries().chunk(0) if encoded.num_chunks else None
        if encoded is None:
            return RawColumn("words", np.zeros(0, np.int64), missing)
        codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        return _from_codes(codes.astype(np.int64), missing, encoded.dictionary.to_pylist())
    if types.is_boolean(kind):
        codes = pc.fill_null(column, False).to_numpy().astype(np.int64)
        return _from_codes(codes, missing, (False, True))
    if types.is_timestamp(kind) or types.is_date(kind):
        zone = "%z" if types.is_timestamp(kind) and kind.tz is not None else ""
        seconds = _arrow_seconds(column, kind)
        return RawColumn("times", seconds, missing, time_form=f"%Y-%m-%dT%H:%M:%S{zone}")
    if types.is_time(kind):
        whole = column.cast(pa.int32() if types.is_time32(kind) else pa.int64())
        seconds = pc.fill_null(whole, 0).to_numpy() / PER_SECOND[kind.unit]
        return RawColumn("times", seconds, missing, time_form="%H:%M:%S")
    if types.is_duration(kind):
        seconds = pc.fill_null(column.cast(pa.int64()), 0).to_numpy() / PER_SECOND[kind.unit]
        return RawColumn("numbers", seconds, missing)
    if types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if types.is_integer(kind) or types.is_floating(kind):
        values = pc.fill_null(column, 0).to_numpy()
        return RawColumn("numbers", values, missing | np.isnan(values.astype(np.float64)))
    raise TableError(f"column {name!r} is of {kind}: expected numbers, text, times or truth values")


PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY = 86400.0


def _arrow_seconds(column: Any, kind: Any) -> Float64:
    """Seconds since 1970 of times or dates; of numpy's times one unit cannot hold all others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pa.types.is_date32(kind)
    counts = pc.fill_null(column.cast(pa.int32() if days else pa.int64()), 0).to_numpy()
    if days:
        return np.asarray(counts * DAY, np.float64)
    # whole seconds and fractions apart, so as to be exact
    whole, rest = np.divmod(counts, PER_SECOND[getattr(kind, "unit", "ms")])
    seconds: Float64 = whole + rest / PER_SECOND[getattr(kind, "unit", "ms")]
    return seconds


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
