"""Replacing what is derived from parameters by its values, before a flow is exported."""

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Foldable(Protocol):
    """A module that derives something from its parameters in every call."""

    def fold(self) -> None:
        """Derive it once and for all: masked weights, inverses, orthogonal matrices."""


def fold(module: nn.Module) -> None:
    """Fold every part of a module that can be; it can no longer be trained afterwards."""
    for part in module.modules():
        if isinstance(part, Foldable):
            part.fold()
