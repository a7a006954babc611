"""Recipe files: where they are, and what they hold."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.errors import nearest
from training.config.plain import faults, one_line, shown
from training.errors import RecipeError

RECIPES = Path(__file__).parents[1] / "recipes"

Overrides = Sequence[tuple[Sequence[str], Any]]
"""Keys of a recipe, each with the names of the sections that it stands in, and their values."""

# How the comment of a recipe that comes without its data begins to say where these are from.
OF_DATA = "# Data: "

# A recipe of a megabyte is none.
MAX_BYTES = 2**20

# Faults that a message names.
MOST_NAMED = 8


def text_of(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A recipe as TOML, which reads as these sections; TOML has no null: such keys are left out."""
    lines = []
    for name, keys in sections.items():
        given = [f"{key} = {_value(value)}" for key, value in keys.items() if value is not None]
        lines += [f"[{name}]", *given, ""]
    return "\n".join(lines)


def _value(value: Any) -> str:
    """A value; strings and numbers of JSON are those of TOML, but for one character."""
    if isinstance(value, Mapping):
        keys = {k: v for k, v in value.items() if v is not None}
        pairs = ", ".join(f"{_value(key)} = {_value(inner)}" for key, inner in keys.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def content_of(name_or_path: str, overrides: Overrides = ()) -> tuple[Path, dict[str, Any]]:
    """The path and the content of a recipe.

    Args:
        name_or_path: a TOML file, or the name of a recipe that comes with Bijecta.
        overrides: values that count in place of those of the file.

    Raises:
        RecipeError: no such recipe, not TOML, or values that no key can have.
    """
    path = _path(name_or_path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RecipeError(
            f"{path} is not a recipe: it has {size} bytes, a recipe has a few hundred"
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise RecipeError(f"{path} is not a recipe: it is nested too deep") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not a TOML file, which is UTF-8: {error.reason}") from None
    except ValueError as error:  # not TOML, or a number too long for Python to read
        raise RecipeError(f"{path} is not a TOML file: {one_line(error)}") from None
    for keys, value in overrides:
        _set(content, keys, value)
    if found := list(faults(content)):
        more = f"; and {len(found) - MOST_NAMED} more" * (len(found) > MOST_NAMED)
        raise RecipeError(f"{path}: {'; '.join(found[:MOST_NAMED])}{more}")
    return path, content


def whence_data(name_or_path: str) -> str:
    """Where the data of a recipe that comes with Bijecta is from, for people; else empty."""
    path = _path(name_or_path)
    if path.parent != RECIPES:
        return ""
    _, _, said = path.read_text(encoding="utf-8").partition(OF_DATA)
    lines = said.partition("\n[")[0].splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines)


def _set(content: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Give a key in sections within each other a value."""
    *sections, last = keys
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {'.'.join(keys)}: {section} holds no keys")
    content[last] = value


def _path(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = sorted(path.stem for path in RECIPES.glob("*.toml"))
    if name_or_path in known:
        return RECIPES / f"{name_or_path}.toml"
    if path.is_dir():
        raise RecipeError(f"{path} is a folder: a recipe is a TOML file")
    raise RecipeError(
        f"no recipe file {shown(name_or_path)}{nearest(name_or_path, known)}; the recipes that "
        f"come with Bijecta are: {', '.join(known)}"
    )
