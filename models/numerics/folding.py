"""Replacing values that are derived from parameters by constants, before a flow is exported."""

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Foldable(Protocol):
    """A module that derives values from its parameters in every call."""

    def fold(self) -> None:
        """Keep those values: masked weights, inverses, orthogonal matrices."""


def fold(module: nn.Module) -> None:
    """Fold every submodule that can be folded; the module cannot be trained afterwards."""
    for submodule in module.modules():
        if isinstance(submodule, Foldable):
            submodule.fold()
