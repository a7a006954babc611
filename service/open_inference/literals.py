"""What is wrong with JSON that is none because of NaN or Infinity, which some writers make."""

import math
from typing import Any

import pydantic_core

LITERALS = (b"NaN", b"Infinity")
MAX_BYTES = 2**20


def non_finite_literal(text: bytes) -> str:
    """Where JSON holds NaN or an infinity, for people; empty where it is wrong in another way.

    Slow: only errors come here, and of long ones none.
    """
    if len(text) > MAX_BYTES or not any(literal in text for literal in LITERALS):
        return ""
    try:
        path = _path(pydantic_core.from_json(text))
    except ValueError:
        return ""
    return f"{path.lstrip('.')}: JSON has no such number" if path else ""


def _path(value: Any) -> str:
    """The way to the first number that is not finite, and the number; empty where there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return f" is {name}"
    if isinstance(value, dict):
        members = ((f".{key:.80}", member) for key, member in value.items())
    elif isinstance(value, list):
        members = ((f"[{i}]", member) for i, member in enumerate(value))
    else:
        return ""
    for step, member in members:
        if found := _path(member):
            return step + found
    return ""
