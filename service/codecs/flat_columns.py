"""Answers as columns of single values, for formats in which each column has a name and a kind."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from service.bundle import AnyManifest, TableManifest
from service.codecs.base import all_or_picked
from service.errors import few
from service.operations import FlowRequest
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
        kinds = manifest.columns if name == "x" and isinstance(manifest, TableManifest) else ()
        for i, each in enumerate(_names(manifest, name, values.shape[1], array.ndim)):
            columns[each] = values[:, i], kinds[i] if kinds else None
    return columns


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
