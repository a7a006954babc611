"""What an answer says beside its arrays, mostly of single rows."""

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from bijecta_client.answers import (
    InexactRowsWarning,
    Numbers,
    RowError,
    UnfamiliarValuesWarning,
)
from bijecta_client.errors import UnreadableError
from bijecta_client.exchange import MALFORMED

PACKAGE = f"{Path(__file__).parent}{os.sep}"

NOT_LISTED = "the server lists only the first of the rows without an answer"


def inexact_rows(said: Mapping[str, Any], first: int) -> list[int]:
    """Rows that do not come back from their latents, counted from `first`.

    Args:
        said: the parameters of an answer of the Open Inference Protocol, or a native answer.
        first: the row at which this part begins.

    Raises:
        UnreadableError: it is no list of rows.
    """
    listed = said.get("inexact_rows", [])
    try:
        return [
            first + int(row) for row in (listed.split(",") if isinstance(listed, str) else listed)
        ]
    except MALFORMED:
        raise UnreadableError(f"inexact_rows: expected rows, got {listed!r:.80}", 200) from None


def reasons(said: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The reasons of an answer by their name; nothing where there are none.

    Args:
        said: the parameters of an answer of the Open Inference Protocol, or a native answer.

    Raises:
        UnreadableError: they are no list of reasons.
    """
    found = said.get("reasons")
    try:
        found = json.loads(found) if isinstance(found, str) else found
        if found is None:
            return {}
        if isinstance(found, list) and {*map(type, found)} <= {list, type(None)}:
            return {"reasons": found}
    except MALFORMED:
        pass
    raise UnreadableError(f"reasons: expected a list for each row, got {found!r:.80}", 200)


def seed(said: Mapping[str, Any] | None) -> int:
    """Which the server has drawn with.

    Raises:
        UnreadableError: it does not say so.
    """
    try:
        return int((said or {})["seed"])
    except MALFORMED:
        raise UnreadableError("there is no seed in the answer", 200) from None


def row_errors(said: Mapping[str, Any], log_prob: Numbers, first: int) -> list[RowError]:
    """Rows without an answer, counted from `first`, and why.

    Args:
        said: the parameters of an answer of the Open Inference Protocol, or a native answer.
        log_prob: of the answer; NaN where a row has none.
        first: the row at which this part begins.

    Raises:
        UnreadableError: it is no list of errors.
    """
    text = said.get("errors", "[]")
    try:
        errors = {
            int(error["row"]): RowError(
                first + int(error["row"]), str(error["reason"]), str(error["detail"])
            )
            for error in (json.loads(text) if isinstance(text, str) else text)
        }
    except MALFORMED:
        raise UnreadableError(f"errors: expected JSON of rows, got {text!r:.80}", 200) from None
    for row in np.flatnonzero(np.isnan(log_prob)).tolist():
        errors.setdefault(row, RowError(first + row, "not-listed", NOT_LISTED))
    return [errors[row] for row in sorted(errors)]


def unfamiliar(said: Mapping[str, Any], first: int) -> list[dict[str, Any]]:
    """Values that the data of a table had not, with their rows counted from `first`.

    Args:
        said: as of `inexact_rows`.
        first: the row at which this part begins.

    Raises:
        UnreadableError: they are none.
    """
    listed: list[dict[str, Any]] = []
    for name in ("unknown_classes", "changed_constants"):
        values = said.get(name, [])
        try:
            listed += [
                {
                    **one,
                    "column": str(one["column"]),
                    "value": one["value"],
                    "rows": [first + int(row) for row in one["rows"]],
                    "row_count": int(one["row_count"]),
                }
                for one in values
            ]
        except MALFORMED:
            raise UnreadableError(f"{name}: expected values, got {values!r:.80}", 200) from None
    return listed


def warn(inexact: Sequence[int], unfamiliar: Sequence[Mapping[str, Any]] = ()) -> None:
    """Warn of rows that do not come back, and of values that the data had not."""
    if inexact:
        warnings.warn(InexactRowsWarning(inexact), stacklevel=_callers_level())
    if not unfamiliar:
        return
    # of a value in several parts of a question there is one
    together: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in unfamiliar:
        is_constant = "expected" in one
        key = (one["column"], "" if is_constant else repr(one["value"]), str(is_constant))
        seen = together.setdefault(key, {**one, "rows": [], "row_count": 0})
        seen["rows"] = [*seen["rows"], *one["rows"]]
        seen["row_count"] += one["row_count"]
    warnings.warn(UnfamiliarValuesWarning([*together.values()]), stacklevel=_callers_level())


def _callers_level() -> int:
    """The `stacklevel` of a warning for it to name the line that asked, outside this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
