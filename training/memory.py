"""What the machine has of memory, and what a file says that reading it takes.

Files that are small on disk can be large in memory: compressed, or a header with nothing behind it.
Their sizes are compared before anything is read.
"""

import os
import resource
from pathlib import Path

from training.errors import DataError

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says how much a container may have, version 2 and version 1."""

GPU = Path("/dev/nvidiactl")


def machine_memory() -> int:
    """The memory of this machine, or of this container if it may have less, in bytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            memory = min(memory, int(path.read_text()))
        except (OSError, ValueError):  # no such version, or `max`
            continue
    return memory


def check_fits(path: object, holds: str, size: int) -> None:
    """Check that what a file holds fits into memory.

    Args:
        path: of the file, for people.
        holds: what the file says that it holds, for people.
        size: of that in memory, in bytes.

    Raises:
        DataError: it is larger than the memory of the machine.
    """
    if size > (memory := machine_memory()):
        raise DataError(
            f"{path} says that it holds {holds}: {_gigabytes(size)} in memory, and this machine "
            f"has {_gigabytes(memory)}"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def limit_memory() -> None:
    """Let allocations fail that the machine cannot serve, instead of having it end the process.

    What is larger than the whole machine then raises `MemoryError`, which is said in one line. Not
    beside a GPU, whose driver reserves more addresses than there is memory.
    """
    if GPU.exists():
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    memory = machine_memory()
    if hard == resource.RLIM_INFINITY or memory < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))
