"""What `bijecta store list` prints."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from service import bundle
from service.bundle import (
    AnyManifest,
    BundleError,
    EnsembleHeldOut,
    Names,
    TableHeldOut,
    printable,
)
from service.remote import outline, read_outline
from service.store_commands.elsewhere import elsewhere
from service.store_commands.folders import look_at, shown_size, warn
from service.store_folder import Found, Version, read_versions

WIDTHS_BY_COLUMN = {
    "model": 0,  # as wide as the longest
    "version": 7,
    "log_prob (nats)": 19,
    "bits/dim": 8,
    "gain (nats)": 15,
    "family": 14,
    "size": 8,
    "written": 16,
}
COLUMNS, WIDTHS = tuple(WIDTHS_BY_COLUMN), tuple(WIDTHS_BY_COLUMN.values())


@dataclass(frozen=True)
class _Listed:
    """A store whose versions are shown.

    Args:
        folder: it, or an outline of one elsewhere.
        name: what people call it.
        read: reads the manifest of a version.
    """

    folder: Path
    name: str
    read: Callable[[Path], AnyManifest] = bundle.read

    def versions(self, name: str, said: Names | BundleError) -> Iterator[Version]:
        """The versions of a model."""
        names = said if isinstance(said, Names) else None
        return read_versions(self.folder / name, names, self.read)


def list_versions(arguments: Namespace) -> int:
    """Print every version with its figures; all files are read, so that broken ones are known.

    Of a store elsewhere the manifests are, and whether the other files are there.
    """
    if isinstance(arguments.store, Path):
        store = _Listed(arguments.store, str(arguments.store))
        return _list(store, look_at(arguments.store), arguments)
    with TemporaryDirectory() as folder, elsewhere(arguments.store) as files:
        skipped = outline(files, Path(folder))
        found = look_at(Path(folder))
        found.skipped |= skipped
        return _list(_Listed(Path(folder), str(files.address), read_outline), found, arguments)


def _list(store: _Listed, found: Found, arguments: Namespace) -> int:
    names = sorted(found.names)
    for name in arguments.names:
        if name not in names:
            raise BundleError(f"there is no model {name!r:.80} in {store.name}")
    models = {name: found.names[name] for name in arguments.names or names}
    if arguments.json:
        print(json.dumps(_as_json(store, models, found), indent=2))
        return 0
    for name, why in sorted(found.skipped.items()):
        warn(f"skipped {printable(name)}: {why}")
    if not models:
        print(f"there is no bundle in {store.name}")
        return 0
    width = max(map(len, models))
    print(_row(COLUMNS, width).rstrip())
    for name, said in models.items():
        if isinstance(said, BundleError):
            warn(f"{said}: which version of {name} is current, and its aliases, are not known")
        for version in store.versions(name, said):
            print(_row(_cells(name, version), width) + _marks(version), flush=True)
    return 0


def _as_json(
    store: _Listed, models: dict[str, Names | BundleError], found: Found
) -> dict[str, Any]:
    return {
        "store": store.name,
        "models": [
            {
                "name": name,
                "aliases": said.aliases if isinstance(said, Names) else {},
                "problem": str(said) if isinstance(said, BundleError) else None,
                "versions": [version.to_json() for version in store.versions(name, said)],
            }
            for name, said in models.items()
        ],
        "skipped": found.skipped,
    }


def _row(cells: tuple[str, ...], first: int) -> str:
    widths = (max(first, len(COLUMNS[0])), *WIDTHS[1:])
    shown = [f"{cells[0]:<{widths[0]}}", f"{cells[1]:>{widths[1]}}"]
    shown += [f"{cell:<{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join(shown)


def _cells(name: str, version: Version) -> tuple[str, ...]:
    figures = ("", "", "", "")
    if (manifest := version.manifest) is not None:
        held_out = manifest.held_out
        bits = held_out.bits_per_dim
        gain = held_out.gain if isinstance(held_out, TableHeldOut | EnsembleHeldOut) else None
        figures = (
            f"{held_out.log_prob:.4f} ± {held_out.se:.4f}",
            "" if bits is None else f"{bits:.4f}",
            "" if gain is None else f"{gain.mean:.3f} ± {gain.se:.3f}",
            printable(manifest.family, WIDTHS[5]),
        )
    written = f"{version.written.astimezone():%Y-%m-%d %H:%M}"
    return (name, str(version.number), *figures, shown_size(version.bytes), written)


def _marks(version: Version) -> str:
    marks = ["current"] * version.is_current + ["withdrawn"] * version.is_withdrawn
    marks += [f"@{alias}" for alias in version.aliases]
    marks += [f"broken: {version.problem}"] * bool(version.problem)
    return f"  {', '.join(marks)}" if marks else ""
