"""Formats of run.json: its number, and how an older one is brought up to date."""

from collections.abc import Mapping
from typing import Any, Final

from training.config import SOURCE_KINDS, kind_of, shown
from training.errors import RunError

FORMAT: Final = 2
"""The format that is written. Format 1 has no number, and in [data] the keys of all kinds."""


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a run.json in today's format.

    Raises:
        RunError: a newer format.
        ValueError: a file that is none of these formats.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"expected an object of keys, got {shown(content)}")
    number = content.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise RunError(
            f"written by a newer Bijecta: format {number}, and this one reads up to {FORMAT}"
        )
    if number not in (1, FORMAT):
        raise ValueError(f"format: expected 1 to {FORMAT}, got {shown(number)}")
    recipe = content.get("recipe")
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("data"), Mapping):
        raise ValueError("recipe.data: expected a section of keys")
    data = _data_of_format_1(recipe["data"]) if number == 1 else dict(recipe["data"])
    if data.get("kind") != "protocol":
        data.setdefault("repeated_rows", "apart")  # as runs without the key were divided
    return {**content, "format": FORMAT, "recipe": {**recipe, "data": data}}


def _data_of_format_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a [data] section that its kind of source has.

    The readers of format 1 ignored keys of other kinds, most of which hold their defaults.
    """
    try:
        kind = kind_of(data)
    except OSError as error:  # a name that is too long, or a folder that is not to be read
        raise ValueError(f"recipe.data.source: {error.strerror}") from None
    if kind not in SOURCE_KINDS:
        return dict(data)
    keys = {key: data[key] for key in SOURCE_KINDS[kind].model_fields if key in data}
    if kind == "digits":  # whole numbers whatever it said
        keys.pop("integers", None)
    return {"kind": kind, **keys}
