"""Files that are written completely or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either the whole new content or the old."""
    temporary = path.with_name(path.name + ".partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # a disk that is full, an interruption
        with suppress(OSError):  # where it could not even be opened
            temporary.unlink(missing_ok=True)
        raise
