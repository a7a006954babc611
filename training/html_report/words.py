"""Numbers as the page shows them."""

import math


def number(value: float, digits: int = 6) -> str:
    """A number with so many digits that count, and a sign that is no hyphen."""
    return _signed(f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}")


def figure(mean: float, se: float, unit: str = "") -> str:
    """A mean and its standard error, of two digits that count and three decimals at least."""
    decimals = 3
    if 0 < se < 0.01:
        decimals = min(9, 1 - math.floor(math.log10(se)))
    shown = f"{mean:.{decimals}f} ± {se:.{decimals}f}"
    return _signed(f"{shown} {unit}".rstrip())


def scientific(value: float) -> str:
    """A small number, such as a largest difference."""
    return "0" if value == 0 else _signed(f"{value:.1e}")


def duration(seconds: float) -> str:
    """A time, in the two largest units of which it has some."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """A number of bytes."""
    value, units = float(count), ["bytes", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def shape(sides: list[int] | tuple[int, ...]) -> str:
    """Sides of an array."""
    return " × ".join(map(str, sides)) or "one number"


def _signed(text: str) -> str:
    """With the minus sign of mathematics, but for that of an exponent."""
    return f"−{text[1:]}" if text.startswith("-") else text
