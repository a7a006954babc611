"""Which version of a model a name means: NAME alone, and NAME@ALIAS."""

import logging
from contextlib import suppress
from typing import Any

from service.bundle import BundleError, Names
from service.errors import (
    InvalidInputError,
    ModelRefusedError,
    ServiceError,
    UnknownModelError,
)
from service.store.entry import Entry

log = logging.getLogger(__name__)

# How many names or versions a message holds.
SHOWN = 10

Versions = dict[int, Entry]


class Naming:
    """What the names of a store's models mean now.

    A name file that cannot be read changes nothing. Where nothing was read before, it is not known
    which versions were taken back: the model answers by number alone.

    An alias that moves to a version that is not loaded yet stays with the one before until it is.

    Args:
        entries: what the store has, by name and version, the newest version last.
    """

    def __init__(self, entries: dict[str, Versions]) -> None:
        self._entries = entries
        self._names: dict[str, Names] = {}
        self._aliases: dict[str, dict[str, int]] = {}
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> dict[str, str]:
        """Why the file of a model's names is not followed, by model."""
        return self._problems

    def take(self, found: dict[str, Names | BundleError]) -> None:
        """Take over what the files of models' names say."""
        for name in found.keys() & self._entries.keys():
            names = found[name]
            if isinstance(names, Names):
                self._names[name] = names
                self._problems.pop(name, None)
                continue
            if self._problems.get(name) != str(names):
                then = "names mean what they did" if name in self._names else "only numbers answer"
                log.error("%s; %s", names, then)
            self._problems[name] = str(names)
        for kept in (self._names, self._aliases, self._problems):
            for name in kept.keys() - self._entries.keys():
                del kept[name]
        for name, versions in self._entries.items():
            known = self._names.get(name)
            for version, entry in versions.items():
                entry.withdrawn = known is None or version in known.withdrawn
        self.settle()

    def settle(self) -> None:
        """Move aliases to where they point, but for those whose version is still to be loaded."""
        for name, names in self._names.items():
            versions, before = self._entries.get(name, {}), self._aliases.get(name, {})
            after = {}
            for alias, version in names.aliases.items():
                there, old = versions.get(version), before.get(alias)
                if there is not None and there.is_awaited and old in versions:
                    after[alias] = old if versions[old].is_able else version
                else:
                    after[alias] = version
                if old != after[alias]:
                    log.info("%s@%s is version %d", name, alias, after[alias])
            self._aliases[name] = after

    def resolve(self, reference: str, version: int | None) -> tuple[str, int]:
        """The model and the version that NAME@ALIAS means.

        Args:
            reference: NAME@ALIAS.
            version: that the request names beside it.

        Raises:
            InvalidInputError: a version is named twice.
            ModelRefusedError: it is not known what the aliases of the model are.
            UnknownModelError: there is no such model, alias or version.
        """
        name, at, alias = reference.partition("@")
        if not at or name not in self._entries:
            known = sorted(self._entries)
            raise UnknownModelError(f"no model {reference!r:.80}: there are {some(known)}")
        if (target := self._aliases.get(name, {}).get(alias)) is None:
            if name not in self._names:
                raise ModelRefusedError(self._problems[name])
            known = sorted(self._aliases[name])
            there = f"there are {some(known)}" if known else "it has none"
            raise UnknownModelError(f"model {name!r} has no alias {alias!r:.80}: {there}")
        if version is not None:
            raise InvalidInputError(
                f"{reference!r} is version {target}: leave out version {version!s:.40}"
            )
        if target not in self._entries[name]:
            there = some(sorted(self._entries[name], reverse=True))
            raise UnknownModelError(
                f"{reference!r} is version {target}, which is gone: there are {there}"
            )
        return name, target

    def current(self, name: str) -> Entry:
        """What a model's name alone means: its newest version that answers and is not withdrawn.

        Who asks does not wait for a newer one to be loaded. Where none answers, it is one that is
        about to be loaded; else the newest, to say why it does not.

        Raises:
            ModelRefusedError: it is not known which versions are withdrawn.
            UnknownModelError: all of them are.
        """
        versions = self._entries[name]
        # it is on the way of every request: the newest is looked at first, and mostly it is
        for entry in reversed(versions.values()):
            if (entry.lease or entry.is_able) and not entry.withdrawn:
                return entry
        rest = {v: entry for v, entry in versions.items() if not entry.withdrawn}
        if rest:
            return rest[max([v for v, entry in rest.items() if entry.is_awaited] or rest)]
        there = some(sorted(versions, reverse=True))
        if name not in self._names:
            raise ModelRefusedError(
                f"{self._problems[name]}; which versions of {name!r} were taken back is not known: "
                f"ask for one by its number, of {there}"
            )
        raise UnknownModelError(
            f"every version of model {name!r} was taken back: ask for one by its number, of {there}"
        )

    def meant(self) -> set[Entry]:
        """Every version that a name means, or is about to."""
        meant = set()
        for name, versions in self._entries.items():
            said = self._names.get(name, Names()).aliases.values()
            now = self._aliases.get(name, {}).values()
            meant |= {versions[version] for version in {*said, *now} & versions.keys()}
            with suppress(ServiceError):
                meant.add(self.current(name))
        return meant

    def describe(self, name: str) -> dict[str, Any]:
        """A model's aliases with their versions, and the versions that were taken back."""
        withdrawn = self._names.get(name, Names()).withdrawn
        return {
            "aliases": self._aliases.get(name, {}),
            "withdrawn": sorted(withdrawn & self._entries[name].keys()),
        }


def some(names: list[str] | list[int]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(map(str, names[:SHOWN]))}{more}"
