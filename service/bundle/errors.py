"""What is wrong with a bundle, in words that name no path of this machine."""

from typing import Literal, get_args

MAX_CHARACTERS = 500

UnsafeKind = Literal[
    "damaged", "operators", "external-data", "nesting", "size", "shapes", "unsigned", "signature"
]
UNSAFE_KINDS: tuple[UnsafeKind, ...] = get_args(UnsafeKind)
"""Why a bundle is not loaded as it is more than bounded data, or of no trusted key."""


class BundleError(Exception):
    """A bundle that cannot be trusted or read; the text says what was expected and what came."""


class UnsafeBundleError(BundleError):
    """A bundle that is as it was made, and not loaded: no bounded data, or of no trusted key.

    Args:
        text: what is wrong.
        kind: the same in one word.
    """

    def __init__(self, text: str, kind: UnsafeKind) -> None:
        super().__init__(text)
        self.kind: UnsafeKind = kind


class UnreadableBundleError(BundleError):
    """A bundle that cannot be read now, for a reason that may pass: rights, a disk, memory."""


def printable(text: str, most: int = MAX_CHARACTERS) -> str:
    """Text on one line, at most so long, with escapes for what is not printed.

    Names and manifests are written by others: they may hold line breaks, and megabytes.
    """
    shown = text if len(text) <= most else f"{text[:most]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
