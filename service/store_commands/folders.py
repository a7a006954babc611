"""What the commands of `bijecta store` have in common."""

import sys
from pathlib import Path

from service.bundle import BundleError
from service.store_folder import Found, look_through


def look_at(store: Path) -> Found:
    """What is in a store's folder; of names, those of models that have a version.

    Raises:
        BundleError: it is no store.
    """
    try:
        found = look_through(store)
    except BundleError as error:
        raise BundleError(f"{store}: {error}") from None
    if any(there.folder == store.absolute() for there in found.bundles.values()):
        raise BundleError(f"{store} is one bundle; expected the folder of a store")
    found.names = {name: found.names[name] for name in sorted({name for name, _ in found.bundles})}
    return found


def shown_size(size: int) -> str:
    """Bytes with two digits and a unit."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value >= 1000:
            value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def warn(text: str) -> None:
    """Say something on stderr."""
    print(f"bijecta: {text}", file=sys.stderr)
