"""The pages of the repository, and the blocks of code on them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Pages that people wrote; results of benchmarks are written by programs.
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
    "deploy/RUNBOOK.md",
    "models/GALLERY.md",
    "models/README.md",
    "service/ANOMALY.md",
    "service/DRIFT.md",
    "service/FILES.md",
    "service/KEYS.md",
    "service/LIMITS.md",
    "service/METRICS.md",
    "service/README.md",
    "service/ROWS.md",
    "service/TELEMETRY.md",
    "service/client/README.md",
    "tests/README.md",
    "tests/stored/README.md",
    "training/README.md",
    "training/estimators/README.md",
]

DEFAULT_CHECK = "make test"


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Args:
        page: its path from the root.
        line: number of its first line.
        language: of the fence.
        file: the rest of the fence's line: the file that the block is a part of.
        text: between the fences.
        check: what runs it, from the comment before it: `make test` unless it says otherwise.
    """

    page: str
    line: int
    language: str
    file: str
    text: str
    check: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


BLOCK = re.compile(
    r"(?:<!-- checked by: (?P<check>[^\n]*?) -->\n\n)?```(?P<language>\w+)(?: (?P<file>\S+))?\n"
    r"(?P<text>.*?)```",
    re.DOTALL,
)


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    content = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            page,
            content[: match.start("text")].count("\n") + 1,
            match["language"],
            match["file"] or "",
            match["text"],
            match["check"] or DEFAULT_CHECK,
        )
        for match in BLOCK.finditer(content)
    ]


ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console, each with what it prints."""
    parts = (part.partition("\n") for part in block.text.split("$ ")[1:])
    return [(command, printed.strip()) for command, _, printed in parts]
