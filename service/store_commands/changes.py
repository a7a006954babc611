"""What `bijecta store prune`, `rollback` and `alias` do, and what they print."""

import sys
from argparse import Namespace
from pathlib import Path

from service.bundle import BundleError
from service.store_commands.folders import look_at, shown_size, warn
from service.store_folder import (
    Change,
    Keep,
    folder_bytes,
    numbers,
    removable,
    remove,
    remove_alias,
    roll_back,
    set_alias,
)

UPTAKE = "servers take it up when they look through the store (--poll-seconds) or start"

DAY_SECONDS = 86_400


def prune_versions(arguments: Namespace) -> int:
    """Remove the versions that are not to be kept, if that is confirmed."""
    store: Path = arguments.store
    keep = Keep(arguments.keep, arguments.keep_days * DAY_SECONDS)
    for name in arguments.names:
        numbers(store, name)  # raises where there is none
    chosen = {
        name: versions
        for name in arguments.names or sorted(look_at(store).names)
        if (versions := removable(store / name, keep))
    }
    if not chosen:
        print("there is no version to remove")
        return 0
    for name, versions in chosen.items():
        for version in versions:
            print(f"{name}/{version}  {shown_size(folder_bytes(store / name / str(version)))}")
    if not (arguments.yes or _is_confirmed(sum(map(len, chosen.values())))):
        warn("nothing was removed; --yes removes these")
        return 1
    code, freed = 0, 0
    for name, versions in chosen.items():
        for removed in remove(store / name, versions, keep):
            if removed.reason:
                warn(f"{name}/{removed.version} was not removed: {removed.reason}")
                code = 1
            else:
                freed += removed.bytes
    print(f"removed {shown_size(freed)}")
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
