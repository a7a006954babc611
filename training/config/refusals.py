"""What is wrong in a recipe, for people: one line that names each key."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel

from service.errors import expected, nearest
from training.config.flow import FlowRecipe, families, family_class
from training.config.plain import shown, shown_key
from training.config.sources import SOURCE_KINDS

# Errors that are said, and characters of each.
MOST_SAID = 8
MOST_CHARACTERS = 400


def messages(errors: Sequence[Any], content: Mapping[str, Any], sections: type[BaseModel]) -> str:
    """All errors of a validation in one line.

    Args:
        errors: of `pydantic.ValidationError.errors()`.
        content: that was validated.
        sections: the class of a whole recipe.
    """
    said = list(dict.fromkeys(_message(error, content, sections) for error in errors))
    more = f"; and {len(said) - MOST_SAID} more" * (len(said) > MOST_SAID)
    return "; ".join(one[:MOST_CHARACTERS] for one in said[:MOST_SAID]) + more


def _message(
    error: Mapping[str, Any], content: Mapping[str, Any], sections: type[BaseModel]
) -> str:
    section, *key = error["loc"] or ("",)
    if section == "recipe" and key:  # of run.json, which holds one
        recipe: Any = sections.model_fields["recipe"].annotation
        return "recipe." + _message({**error, "loc": tuple(key)}, content["recipe"], recipe)
    if section == "flow" and not key and error["type"] == "missing":
        return f"there is no [flow]: set family in it, one of {', '.join(families())}"
    if section == "data":
        kind, key = (key or [None])[0], key[1:]  # the kind of source is no key
        if key == ["source"] and error["type"] == "missing":
            return "names no data: set source in [data], or pass --data PATH"
    else:
        kind = None
    where = shown_key(".".join(str(part) for part in (section, *key) if part != ""))
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(error["type"], str(section), key, kind, content, sections)
        meant = nearest(str((key or [section])[-1]), known)
        meant = meant or (f": there is {', '.join(known)}" if known else "")
        return f"{where} is no key of a recipe{meant}"
    if error["type"] == "missing":
        return f"{where} is missing"
    prefix = f"{where}: " if where else ""
    if error["type"] == "value_error":
        return prefix + " ".join(str(error["ctx"]["error"]).split())
    return f"{prefix}{expected(error)}, got {shown(error['input'])}"


def _known_keys(
    error_type: str,
    section: str,
    key: Sequence[Any],
    kind: Any,
    content: Mapping[str, Any],
    sections: type[BaseModel],
) -> list[str]:
    """The keys that there are where an unknown one stands."""
    if not key:
        return list(sections.model_fields)
    if error_type == "unexpected_keyword_argument":  # of the class of a family's options
        family = family_class(content["flow"]["family"])
        return [*(option.name for option in fields(family)), *FlowRecipe.model_fields]
    if section == "data":
        return list(SOURCE_KINDS[kind].model_fields) if kind in SOURCE_KINDS else []
    model: Any = sections
    for part in (section, *key[:-1]):
        # a number in a list, and the name of a class that pydantic tried, are no keys
        if model is not None and part in model.model_fields:
            model = _model_of(model.model_fields[part].annotation)
    return [] if model is None else list(model.model_fields)


def _model_of(annotation: Any) -> Any:
    """The section that an annotation names, such as `list[LossRecipe]` or `FitRecipe | None`."""
    inner = getattr(annotation, "__args__", ())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_of, inner) if found is not None), None)
