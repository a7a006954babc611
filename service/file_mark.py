"""What tells a file from another one in its place, without reading it."""

from pathlib import Path

Mark = tuple[int, int, int, int]


def mark_of(path: Path) -> Mark | None:
    """The mark of the file that is there now; None where none can be looked at.

    Its mode is a part of it: a file that could not be read, and now can, is as it was but for that.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
