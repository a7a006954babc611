"""Labels that say which rows of a table are anomalies."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import TableError
from service.tables.raw import RawColumn

ANOMALOUS = ("1", "anomalous", "anomaly", "fraud", "outlier", "true", "yes")
NORMAL = ("0", "false", "inlier", "no", "normal")
"""What a label is, in lower case; numbers as 1 and 1.0 are equal."""

# Labels that a message names.
SHOWN_LABELS = 6


def anomalies_of(raw: RawColumn, name: str, place: Callable[[int], str]) -> NDArray[np.bool_]:
    """Whether the label of each row says that it is an anomaly.

    Args:
        raw: the labels.
        name: of their column.
        place: from a row's number, from 0, to where it stands, for people.

    Raises:
        TableError: a row has no label, a label is unclear, or all rows are anomalies.
    """
    if raw.missing.any():
        raise TableError(
            f"{place(int(raw.missing.argmax()))}: no label in column {name!r}: expected whether "
            "the row is an anomaly, in every row"
        )
    distinct, codes = np.unique(raw.values, return_inverse=True)
    words = [_word(raw, value) for value in distinct]
    if unclear := [word for word in words if word not in (*ANOMALOUS, *NORMAL)]:
        shown = ", ".join(map(repr, unclear[:SHOWN_LABELS]))
        shown += ", …" * (len(unclear) > SHOWN_LABELS)
        raise TableError(
            f"column {name!r} of labels holds {shown}: "
            f"expected one of {', '.join(ANOMALOUS)} for an anomaly and one of "
            f"{', '.join(NORMAL)} for a normal row"
        )
    of_distinct = np.array([word in ANOMALOUS for word in words])
    anomalous: NDArray[np.bool_] = of_distinct[codes.reshape(-1)]
    if anomalous.all():
        raise TableError(f"column {name!r} labels every row as an anomaly: none is normal")
    return anomalous


def _word(raw: RawColumn, value: np.generic) -> str:
    if raw.form == "words":
        word = raw.words[int(value)]
        return (f"{word:g}" if isinstance(word, float) else str(word)).strip().lower()
    return f"{float(value):.15g}"
