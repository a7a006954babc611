"""Figures that benchmarks must reach."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def add_results_option(parser: argparse.ArgumentParser) -> None:
    """Add `--results`, the folder of figures and page, which is made when it is parsed.

    A folder that cannot be made ends the benchmark at its start, not at its end.
    """
    parser.add_argument(
        "--results", type=_made_folder, default=RESULTS, help=f"folder of the page ({RESULTS.name})"
    )


def _made_folder(text: str) -> Path:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{folder} cannot be made: {error}") from None
    return folder


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


def publish(
    folder: Path, stem: str, content: dict[str, Any], page: str, reached: Sequence[Bar]
) -> int:
    """Keep a benchmark's figures and its page, and say what was missed; returns the exit code.

    Args:
        folder: of the results.
        stem: of the two files' names.
        content: the figures; the bars are added.
        page: in Markdown.
        reached: the bars.
    """
    content = content | {"bars": [asdict(bar) | {"held": bar.held} for bar in reached]}
    (folder / f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / f"{stem}.md").write_text(page, encoding="utf-8")
    print(page)
    missed = [bar for bar in reached if not bar.held]
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    return 1 if missed else 0


def figure(value: float) -> str:
    """Three digits, or all before the point where there are more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
