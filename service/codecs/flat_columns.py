"""Answers as columns of single values, for formats in which each column has a name and a kind."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import AnyManifest
from service.codecs.base import REASONS, all_or_picked
from service.errors import few
from service.operations import TEXT, Answer, FlowRequest
from service.tables import Column
from service.types import Arrays

# More than any table of rows has, as a body or an answer.
MAX_COLUMNS = 2**14

FlatColumns = dict[str, tuple[NDArray[Any], Column | None]]
"""Values by name, and of which typed column they are, if of any."""


def flat_columns(manifest: AnyManifest, arrays: Arrays, output: str | None) -> FlatColumns:
    """The columns of an answer: x by the names of the model's columns, z as `z.0`, `z.1` and so on.

    Args:
        manifest: of the model that answers.
        arrays: of the answer.
        output: the one array picked; None for all.

    Raises:
        InvalidInputError: there is no array of the name picked.
    """
    columns: FlatColumns = {}
    for name, array in all_or_picked(arrays, output).items():
        values = array.reshape(len(array), math.prod(array.shape[1:]))
        typed = manifest.typed if name == "x" else None
        kinds = () if typed is None else typed.named_columns
        for i, each in enumerate(_names(manifest, name, values.shape[1], array.ndim)):
            columns[each] = values[:, i], kinds[i] if kinds else None
    return columns


def reasons_as_columns(answer: Answer) -> Answer:
    """An answer whose reasons are arrays of text and numbers.

    `reason.0` is the column of the largest share of each row, `reason.0.value` its value,
    `reason.0.expected` the values expected, as JSON, and `reason.0.share` the share; `reason.1` is
    the next one. Where a row has none, they are empty text and NaN.
    """
    if REASONS not in answer.remarks:
        return answer
    remarks = {name: said for name, said in answer.remarks.items() if name != REASONS}
    rows: list[list[dict[str, Any]]] = [each or [] for each in answer.remarks[REASONS]]
    arrays = dict(answer.arrays)
    for rank in range(max(map(len, rows), default=0)):
        each = [row[rank] if rank < len(row) else {} for row in rows]
        name = f"reason.{rank}"
        arrays[name] = np.array([_text(one.get("column")) for one in each], TEXT)
        arrays[f"{name}.value"] = np.array([_text(one.get("value")) for one in each], TEXT)
        expected = [orjson.dumps(one["expected"]).decode() if one else "" for one in each]
        arrays[f"{name}.expected"] = np.array(expected, TEXT)
        arrays[f"{name}.share"] = np.array([one.get("share", np.nan) for one in each], np.float64)
    return Answer(arrays, answer.seed, remarks)


def _text(value: Any) -> str:
    """A text as it is, anything else as JSON; empty for nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()


def no_columns(
    schema: type[FlowRequest], manifest: AnyManifest, output: str | None, media_type: str
) -> str | None:
    """Why the columns of an answer cannot stand side by side; None where they can."""
    names: list[str] = []
    for name in schema.outputs if output is None else (output,):
        shape = {"x": manifest.event_shape, "z": manifest.latent_shape}.get(name, ())
        if math.prod(shape) > MAX_COLUMNS:
            return f"{media_type} may have {MAX_COLUMNS} columns, {name} has {math.prod(shape)}"
        names += _names(manifest, name, math.prod(shape), 1 + len(shape))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        return (
            f"{media_type} names columns, and there are several {few(twice)}: pick one array with "
            "output"
        )
    return None


def _names(manifest: AnyManifest, name: str, width: int, sides: int) -> Sequence[str]:
    """The names of an array's columns."""
    if sides == 1:
        return [name]
    if name == "x" and manifest.column_names is not None:
        return manifest.column_names
    return [f"{name}.{i}" for i in range(width)]
