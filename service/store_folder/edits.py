"""Changing what a model's names mean: aliases, and going back to an earlier version."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service import bundle
from service.bundle import BundleError, Names, check_alias
from service.store_folder.folder_lock import changing
from service.store_folder.versions import current, newest_whole, numbers


@dataclass(frozen=True)
class Change:
    """What a name meant, and what it means now.

    Args:
        before: a version, or None.
        after: the same now.
    """

    before: int | None
    after: int | None


def roll_back(store: Path, name: str, to: int | Literal["latest"] | None) -> Change:
    """Make a model's name mean an earlier version: all above it are withdrawn.

    Args:
        store: folder of bundles.
        name: of the model.
        to: the version, which is withdrawn no longer if it was; `latest` for the newest of all,
            whatever was withdrawn; None for the one before the current one.

    Raises:
        BundleError: there is no such model or version, or it is not whole.
        OSError: the model's folder cannot be written to.
    """
    there, folder = numbers(store, name), store / name
    with changing(folder):
        names = bundle.read_names(folder)
        before = current(folder, names)
        if to == "latest":
            withdrawn = frozenset[int]()
        else:
            target = _earlier(folder, names, before) if to is None else _whole(folder, there, to)
            withdrawn = names.withdrawn - {target} | {v for v in there if v > target}
        names = names.model_copy(update={"withdrawn": withdrawn & frozenset(there)})
        bundle.write_names(folder, names)
        return Change(before, current(folder, names))


def set_alias(store: Path, name: str, alias: str, version: int | None) -> Change:
    """Make NAME@ALIAS mean a version.

    Args:
        store: folder of bundles.
        name: of the model.
        alias: of the version.
        version: its number; None for the current one.

    Raises:
        BundleError: there is no such model or version, it is not whole, or the alias is no name.
        OSError: the model's folder cannot be written to.
    """
    there, folder = numbers(store, name), store / name
    try:
        check_alias(alias)
    except ValueError as error:
        raise BundleError(str(error)) from None
    with changing(folder):
        names = bundle.read_names(folder)
        target = current(folder, names) if version is None else _whole(folder, there, version)
        if target is None:
            raise BundleError(f"{name} has no current version: say which {alias!r} is to mean")
        bundle.write_names(folder, _with_aliases(names, names.aliases | {alias: target}))
        return Change(names.aliases.get(alias), target)


def remove_alias(store: Path, name: str, alias: str) -> Change:
    """Make NAME@ALIAS mean nothing.

    Raises:
        BundleError: there is no such model or alias.
        OSError: the model's folder cannot be written to.
    """
    numbers(store, name)
    folder = store / name
    with changing(folder):
        names = bundle.read_names(folder)
        if alias not in names.aliases:
            known = ", ".join(sorted(names.aliases)) or "it has none"
            raise BundleError(f"{name} has no alias {alias!r:.80}: {known}")
        rest = {a: version for a, version in names.aliases.items() if a != alias}
        bundle.write_names(folder, _with_aliases(names, rest))
        return Change(names.aliases[alias], None)


def _with_aliases(names: Names, aliases: dict[str, int]) -> Names:
    return names.model_copy(update={"aliases": aliases})


def _whole(folder: Path, there: list[int], version: int) -> int:
    """A version that is there, and whole."""
    if version not in there:
        known = ", ".join(map(str, there))
        raise BundleError(f"{folder.name} has no version {version}: there are {known}")
    bundle.read(folder / str(version))
    return version


def _earlier(folder: Path, names: Names, before: int | None) -> int:
    """The version before the current one, of those that are whole and not withdrawn."""
    if before is None:
        raise BundleError(f"{folder.name} has no current version: say which it is, with --to")
    versions = bundle.versions(folder)
    earlier = [v for v in versions if v < before and v not in names.withdrawn]
    if (target := newest_whole(folder, earlier)) is None:
        raise BundleError(f"{folder.name} has no whole version before {before}")
    return target
