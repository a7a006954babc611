"""Values that a file can hold under any key, and files that hold them."""

import datetime
import json
from typing import Any

NESTED: list[Any] = []
for _ in range(40):
    NESTED = [NESTED]

VALUES: tuple[Any, ...] = (
    True,
    False,
    0,
    -1,
    1,
    2,
    2**31,
    2**63,
    10**23,
    -(10**23),
    16**5000,
    0.0,
    -0.5,
    0.5,
    1.0,
    1e308,
    -1e-320,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "a",
    "\0",
    "a\0b",
    "a\nb",
    "é" * 300,
    "x" * 5000,
    "maf",
    "moons",
    "normal",
    [],
    [0],
    [1, 0],
    ["a", "a"],
    ["\0"],
    [float("nan"), 1.0],
    [[1.0]],
    NESTED,
    {},
    {"a": 1},
    {"kind": "kl", "weight": 16**5000},
    {"\0": 1},
    [{}],
    datetime.date(2020, 2, 29),
    datetime.time(12),
    datetime.datetime(2020, 2, 29, 12),
)
"""What TOML can hold."""

JSON_VALUES = (*(v for v in VALUES if not isinstance(v, datetime.date | datetime.time)), None)
"""What JSON can hold, whose whole numbers Python reads up to 4,300 digits."""


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool | str):
        return json.dumps(value)
    if isinstance(value, int):  # of any length: Python limits decimal digits alone
        return hex(value) if value > 2**64 else str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{{pairs}}}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def toml_text(content: dict[str, Any]) -> str:
    """A recipe of these sections."""
    return "".join(f"{json.dumps(key)} = {toml_value(value)}\n" for key, value in content.items())


def json_text(content: Any) -> str:
    """JSON, whose whole numbers are cut to what its reader takes."""
    if isinstance(content, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {json_text(v)}' for k, v in content.items())}}}"
    if isinstance(content, list):
        return f"[{', '.join(map(json_text, content))}]"
    if isinstance(content, int) and not isinstance(content, bool) and abs(content) > 2**64:
        return "9" * min(5000, content.bit_length() * 3 // 10)
    return json.dumps(content)
