"""What the fuzzer has found, kept as files: `make test` replays each."""

import hashlib
import re
from pathlib import Path

from tests.helpers.parsers import PARSERS
from tests.hostile.fuzzing.run import Find

FOLDER = Path(__file__).parents[1] / "finds"
MAX_BYTES = 2**17
"""Of a find that is kept in the repository: longer ones get a maker."""


def slug(parser: str) -> str:
    """A parser's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", parser.lower()).strip("-")


def keep(find: Find, folder: Path) -> Path:
    """Write a find to a folder; its name says the parser and the content."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(find.data).hexdigest()[:10]
    path = folder / f"{slug(find.parser)}--{digest}.bin"
    path.write_bytes(find.data)
    return path


def parser_of(path: Path) -> str:
    """The parser that a find is of."""
    (name,) = (name for name in PARSERS if slug(name) == path.name.partition("--")[0])
    return name
