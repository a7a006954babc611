"""Compiling the layers of a flow for training."""

from typing import cast

import torch
from torch import Tensor

from models.bijection import Bijection, Compose
from models.layers import Partial


def compile_layers(bijection: Bijection) -> None:
    """Compile the encode of each layer for training.

    Layers of one kind and shape share the compiled code, so a deep flow takes no longer to compile
    than a shallow one. Compiled as a whole, a Glow of spline couplings took minutes.
    """
    if isinstance(bijection, Compose):
        for layer in bijection.layers:
            compile_layers(cast(Bijection, layer))
    elif isinstance(bijection, Partial):
        compile_layers(bijection.bijection)
    else:
        bijection._encode = _CompiledEncode(bijection)  # type: ignore[method-assign]


class _CompiledEncode:
    """The encode of a layer: compiled in training, where batches have one size."""

    def __init__(self, layer: Bijection) -> None:
        self.layer, self.eager, self.compiled = layer, layer._encode, torch.compile(layer._encode)

    def __call__(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (self.compiled if self.layer.training else self.eager)(x, context)
