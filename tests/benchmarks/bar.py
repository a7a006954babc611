"""Figures that benchmarks must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A figure and what it must reach.

    Args:
        what: in words.
        value: what was found.
        limit: what it is at least (`floor`) or at most.
        floor: which of the two.
    """

    what: str
    value: float
    limit: float
    floor: bool = False

    @property
    def held(self) -> bool:
        """Whether it is reached; NaN never is."""
        return self.value >= self.limit if self.floor else self.value <= self.limit

    def __str__(self) -> str:
        relation = "at least" if self.floor else "at most"
        return f"{self.what}: {figure(self.value)}, {relation} {self.limit:g} wanted"


def figure(value: float) -> str:
    """Three digits, or all before the point where there are more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
