"""Values of typed columns as columns of Arrow, of the type that fits the kind."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tables import (
    OTHER,
    WRITTEN_TIMES,
    CategoricalColumn,
    Column,
    DatetimeColumn,
    LatticeColumn,
    NumericColumn,
)

# Whole numbers up to here are exact in float64.
MAX_WHOLE = 2.0**53
DAY = 86400


def column(pa: Any, values: NDArray[Any], kind: Column | None) -> Any:
    """A column of single values; null where one is missing.

    Args:
        pa: pyarrow.
        values: N; of typed columns as a row holds them.
        kind: what they are; None of plain numbers, booleans or text.
    """
    if kind is None:
        plain = values.tolist() if values.dtype.kind in "UT" else np.ascontiguousarray(values)
        return pa.array(plain, pa.utf8()) if values.dtype.kind in "UT" else pa.array(plain)
    missing = np.isnan(values)
    present = np.where(missing, 0.0, values)
    if isinstance(kind, CategoricalColumn):
        return _classes(pa, present, missing, kind)
    if isinstance(kind, DatetimeColumn):
        return _times(pa, present, missing, kind)
    if isinstance(kind, LatticeColumn):
        exact = kind.nearest(present)
        is_whole = kind.step == round(kind.step) and kind.origin == round(kind.origin)
        if is_whole and (np.abs(exact) <= MAX_WHOLE).all():
            return pa.array(exact.astype(np.int64), mask=missing)
        return pa.array(exact, mask=missing)
    assert isinstance(kind, NumericColumn)
    return pa.array(present, mask=missing)


def _classes(
    pa: Any, values: NDArray[Any], missing: NDArray[np.bool_], kind: CategoricalColumn
) -> Any:
    codes = np.rint(values).astype(np.int32)
    classes = np.array(kind.classes)
    of_one_type = set(map(type, kind.classes)) in ({bool}, {int}, {float})
    # whole numbers of more than 64 bits are objects
    if of_one_type and not kind.other and classes.dtype.kind in "bif":
        return pa.array(classes[codes], mask=missing)
    words = [str(word).lower() if isinstance(word, bool) else str(word) for word in kind.classes]
    words += [OTHER] * kind.other
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), pa.array(words))


def _times(pa: Any, values: NDArray[Any], missing: NDArray[np.bool_], kind: DatetimeColumn) -> Any:
    if "%d" not in kind.format:  # times of day
        counts = np.rint(values % DAY * 1e6).astype(np.int64) % (DAY * 10**6)
        return pa.array(counts, mask=missing).cast(pa.time64("us"))
    values = np.clip(values, *WRITTEN_TIMES)
    if "%H" not in kind.format:
        return pa.array(np.floor(values / DAY).astype(np.int32), mask=missing).cast(pa.date32())
    zone = "UTC" if "%z" in kind.format else None
    counts = np.rint(values * 1e6).astype(np.int64)
    return pa.array(counts, mask=missing).cast(pa.timestamp("us", zone))
