"""What `bijecta store list`, `prune`, `rollback`, `alias` and `index` do, and what they print."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.bundle import BundleError, Names, TableHeldOut, printable
from service.remote import INDEX, index_of
from service.store_folder import (
    Change,
    Found,
    Keep,
    Version,
    folder_bytes,
    look_through,
    numbers,
    read_versions,
    removable,
    remove,
    remove_alias,
    roll_back,
    set_alias,
)

UPTAKE = "servers take it up when they look through the store (--poll-seconds) or start"

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

DAY_SECONDS = 86_400


def list_versions(arguments: Namespace) -> int:
    """Print every version with its figures; all files are read, so that broken ones are known."""
    store: Path = arguments.store
    found = _look(store)
    names = sorted(found.names)
    for name in arguments.names:
        numbers(store, name)  # raises where there is none
    models = {name: found.names[name] for name in arguments.names or names}
    if arguments.json:
        print(json.dumps(_as_json(store, models, found), indent=2))
        return 0
    for name, why in sorted(found.skipped.items()):
        _warn(f"skipped {printable(name)}: {why}")
    if not models:
        print(f"there is no bundle in {store}")
        return 0
    width = max(map(len, models))
    print(_row(COLUMNS, width).rstrip())
    for name, said in models.items():
        if isinstance(said, BundleError):
            _warn(f"{said}: which version of {name} is current, and its aliases, are not known")
        for version in _versions(store, name, said):
            print(_row(_cells(name, version), width) + _marks(version), flush=True)
    return 0


def prune_versions(arguments: Namespace) -> int:
    """Remove the versions that are not to be kept, if that is confirmed."""
    store: Path = arguments.store
    keep = Keep(arguments.keep, arguments.keep_days * DAY_SECONDS)
    for name in arguments.names:
        numbers(store, name)  # raises where there is none
    chosen = {
        name: versions
        for name in arguments.names or sorted(_look(store).names)
        if (versions := removable(store / name, keep))
    }
    if not chosen:
        print("there is no version to remove")
        return 0
    for name, versions in chosen.items():
        for version in versions:
            print(f"{name}/{version}  {_size(folder_bytes(store / name / str(version)))}")
    if not (arguments.yes or _is_confirmed(sum(map(len, chosen.values())))):
        _warn("nothing was removed; --yes removes these")
        return 1
    code, freed = 0, 0
    for name, versions in chosen.items():
        for removed in remove(store / name, versions, keep):
            if removed.reason:
                _warn(f"{name}/{removed.version} was not removed: {removed.reason}")
                code = 1
            else:
                freed += removed.bytes
    print(f"removed {_size(freed)}")
    return code


def roll_back_model(arguments: Namespace) -> int:
    """Make a model's name mean an earlier version."""
    change = roll_back(arguments.store, arguments.name, arguments.to)
    _say(arguments.name, change)
    return 0


def set_or_remove_alias(arguments: Namespace) -> int:
    """Make NAME@ALIAS mean a version, or nothing."""
    name, at, alias = arguments.alias.partition("@")
    if not at:
        raise BundleError(f"expected NAME@ALIAS, got {arguments.alias!r:.80}")
    if arguments.remove and arguments.version is not None:
        raise BundleError("a version is of no use where an alias is removed")
    if arguments.remove:
        change = remove_alias(arguments.store, name, alias)
    else:
        change = set_alias(arguments.store, name, alias, arguments.version)
    _say(arguments.alias, change)
    return 0


def write_index(arguments: Namespace) -> int:
    """Write the index of a store, for servers that read it from a web server."""
    store: Path = arguments.store
    _look(store)  # raises where it is no store
    partial = store / f".{INDEX}.partial"
    partial.write_bytes(index_of(store))
    partial.replace(store / INDEX)
    print(f"wrote {store / INDEX}: upload it last")
    return 0


def _look(store: Path) -> Found:
    try:
        found = look_through(store)
    except BundleError as error:
        raise BundleError(f"{store}: {error}") from None
    if any(there.folder == store.absolute() for there in found.bundles.values()):
        raise BundleError(f"{store} is one bundle; expected the folder of a store")
    found.names = {name: found.names[name] for name in sorted({name for name, _ in found.bundles})}
    return found


def _versions(store: Path, name: str, said: Names | BundleError) -> Iterator[Version]:
    return read_versions(store / name, said if isinstance(said, Names) else None)


def _as_json(store: Path, models: dict[str, Names | BundleError], found: Found) -> dict[str, Any]:
    return {
        "store": str(store),
        "models": [
            {
                "name": name,
                "aliases": said.aliases if isinstance(said, Names) else {},
                "problem": str(said) if isinstance(said, BundleError) else None,
                "versions": [version.to_json() for version in _versions(store, name, said)],
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
        gain = held_out.gain if isinstance(held_out, TableHeldOut) else None
        figures = (
            f"{held_out.log_prob:.4f} ± {held_out.se:.4f}",
            "" if bits is None else f"{bits:.4f}",
            "" if gain is None else f"{gain.mean:.3f} ± {gain.se:.3f}",
            printable(manifest.family, WIDTHS[5]),
        )
    written = f"{version.written.astimezone():%Y-%m-%d %H:%M}"
    return (name, str(version.number), *figures, _size(version.bytes), written)


def _marks(version: Version) -> str:
    marks = ["current"] * version.is_current + ["withdrawn"] * version.is_withdrawn
    marks += [f"@{alias}" for alias in version.aliases]
    marks += [f"broken: {version.problem}"] * bool(version.problem)
    return f"  {', '.join(marks)}" if marks else ""


def _size(size: int) -> str:
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value >= 1000:
            value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def _is_confirmed(count: int) -> bool:
    """Whether a person at a terminal agrees."""
    if not sys.stdin.isatty():
        return False
    try:
        answer = input(
            f"remove {'this version' if count == 1 else f'these {count} versions'}? [y/N] "
        )
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _say(name: str, change: Change) -> None:
    before = "nothing" if change.before is None else f"version {change.before}"
    after = "nothing" if change.after is None else f"version {change.after}"
    if before == after:
        print(f"{name} means {after}, as before")
    else:
        print(f"{name} means {after} now, and meant {before}; {UPTAKE}")


def _warn(text: str) -> None:
    print(f"bijecta: {text}", file=sys.stderr)
