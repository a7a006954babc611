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
from service.tables.durations import CLOCK_FORM, duration_texts

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
        duration: of numbers of seconds that are durations by their type, how these are written, one
            of `durations.DURATIONS`.
    """

    form: Form
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    words: tuple[Word, ...] = ()
    time_form: str = ""
    duration: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def value(self, row: int) -> str:
        """A value for people."""
        if self.missing[row]:
            return "missing"
        value = self.values[row]
        if self.form == "times":
            form = self.time_form or "%Y-%m-%dT%H:%M:%S"
            if value % 1 and "%f" not in form:
                form = form.replace("%S", "%S.%f")
            return texts_of(np.array([value]), form)[0]
        if self.form == "words":
            text = repr(self.words[int(value)])
            return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
        if self.duration is not None:
            return duration_texts(np.array([value]), self.duration)[0]
        return f"{value:.15g}" if value.dtype == np.float64 else str(value)

    def word(self, row: int) -> Word | None:
        """A value as JSON has it; a time as text."""
        if self.missing[row] or self.form == "times":
            return None if self.missing[row] else self.value(row)
        number: int | float = self.values[row].item()
        return number if self.form == "numbers" else self.words[int(number)]

    @property
    def is_single(self) -> bool:
        """Whether its numbers came as float32."""
        return self.values.dtype == np.float32

    @property
    def is_of_day(self) -> bool:
        """Whether its times are of a day, without a date."""
        return bool(self.time_form) and "%d" not in self.time_form

    def taken(self, rows: NDArray[Any]) -> "RawColumn":
        """The values of some rows."""
        return replace(self, values=self.values[rows], missing=self.missing[rows])


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
            else from_codes(column.values, column.missing, column.words)
            for name, column in columns.items()
        }
        return replace(
            self, columns=columns, rows=len(rows), place=lambda row: self.place(int(rows[row]))
        )

    def without(self, names: Collection[str]) -> "RawTable":
        """The other columns."""
        columns = {name: raw for name, raw in self.columns.items() if name not in names}
        return replace(self, columns=columns)


def from_codes(
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
    if types.is_dictionary(kind) and any(chunk.dictionary.null_count for chunk in column.chunks):
        column = pa.chunked_array(list(map(_without_null_words, column.chunks)))
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
        return from_codes(codes.astype(np.int64), missing, encoded.dictionary.to_pylist())
    if types.is_boolean(kind):
        codes = pc.fill_null(column, False).to_numpy().astype(np.int64)
        return from_codes(codes, missing, (False, True))
    if types.is_timestamp(kind) or types.is_date(kind):
        zone = "%z" if types.is_timestamp(kind) and kind.tz is not None else ""
        seconds = _arrow_seconds(column, kind)
        return RawColumn("times", seconds, missing, time_form=f"%Y-%m-%dT%H:%M:%S{zone}")
    if types.is_time(kind):
        whole = column.cast(pa.int32() if types.is_time32(kind) else pa.int64())
        seconds = pc.fill_null(whole, 0).to_numpy() / PER_SECOND[kind.unit]
        return RawColumn("times", seconds, missing, time_form="%H:%M:%S")
    if types.is_duration(kind):
        counts = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        return of_durations(counts, PER_SECOND[kind.unit], missing)
    if types.is_decimal(kind):
        return _from_arrow(name, _of_decimals(column))
    if types.is_integer(kind) or types.is_floating(kind):
        values = pc.fill_null(column, 0).to_numpy()
        return RawColumn("numbers", values, missing | np.isnan(values.astype(np.float64)))
    raise TableError(
        f"column {name!r} is of {kind}: expected numbers, text, times, durations or truth values"
    )


PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY = 86400.0


def of_durations(
    counts: NDArray[np.int64], per_second: int, missing: NDArray[np.bool_]
) -> RawColumn:
    """Durations as numbers of seconds: those that a text of as many digits stands for."""
    counts = np.where(missing, 0, counts)
    seconds: Float64 = counts / per_second
    are_long = np.abs(seconds) >= 2**53 / per_second  # and would be rounded twice
    seconds[are_long] = [count / per_second for count in counts[are_long].tolist()]
    return RawColumn("numbers", seconds, missing, duration=CLOCK_FORM)


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


def _without_null_words(chunk: Any) -> Any:
    """A dictionary of words alone: rows with a null of it are null themselves."""
    import pyarrow as pa

    words, is_none = chunk.dictionary, np.asarray(chunk.dictionary.is_null())
    codes = pa.array(np.cumsum(~is_none) - 1, pa.int64(), mask=is_none)
    return pa.DictionaryArray.from_arrays(codes.take(chunk.indices), words.drop_null())


def _of_decimals(column: Any) -> Any:
    """Decimals as numbers; whole ones that 64 bits do not hold as text, with all their digits."""
    import pyarrow as pa

    for whole in (pa.int64(), pa.uint64(), pa.string()) if column.type.scale == 0 else ():
        try:
            return column.cast(whole)
        except pa.ArrowInvalid:
            continue
    # a cast of its own multiplies by 0.01, which makes 0.5700000000000001 of 0.57
    return column.cast(pa.string()).cast(pa.float64())


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
