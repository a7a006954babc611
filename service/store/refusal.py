"""Why a bundle was not loaded: words for callers, and whether the reason may pass."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from service.bundle import (
    BundleError,
    UnreadableBundleError,
    UnsafeBundleError,
    place,
    printable,
    read_error,
)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
"""Seconds until a bundle is tried again that was refused for a reason that may pass."""

# Folders before a file's name, as onnxruntime's messages have them, of bundles and of its sources.
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)+")
# What onnxruntime and the system say where there is no memory, or no thread, left.
EXHAUSTED = re.compile(r"alloc|out of memory|can't start new thread", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """Why a bundle was not loaded.

    Args:
        reason: for callers; names no path of this machine.
        may_pass: whether the same files may be loaded later.
        is_known: whether the reason says all there is; else the log should have the traceback.
        kind: the reason in one word, of `UNSAFE_KINDS` or "other".
    """

    reason: str
    may_pass: bool
    is_known: bool = True
    kind: str = "other"


def refusal(folder: Path, error: BaseException) -> Refusal:
    """What an error that a load ended with means for the bundle in this folder."""
    shown = place(folder)
    if isinstance(error, BundleError):
        reason = str(error)
        if not reason.startswith(shown):
            reason = f"{shown} could not be loaded: {reason}"
        kind = error.kind if isinstance(error, UnsafeBundleError) else "other"
        return Refusal(reason, isinstance(error, UnreadableBundleError), kind=kind)
    if isinstance(error, OSError):
        problem = read_error(shown, error)
        return Refusal(str(problem), isinstance(problem, UnreadableBundleError))
    if isinstance(error, MemoryError):
        return Refusal(f"{shown} could not be loaded: there is no memory left for it", True)
    text = str(error) or type(error).__name__
    for path in (os.path.realpath(folder), str(folder.absolute()), str(folder)):
        text = text.replace(path, shown)
    text = printable(FOLDERS.sub("", text))
    return Refusal(
        f"{shown} could not be loaded: {text}", bool(EXHAUSTED.search(text)), is_known=False
    )


def next_pause(pause: float) -> float:
    """Seconds until the next try, after one that came this many seconds after the last."""
    return min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
