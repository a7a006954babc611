"""Compiling a flow's layers for training."""

from typing import cast

import torch
from torch import Tensor

from models.bijection import Bijection, Compose
from models.layers import Partial


def compile_layers(bijection: Bijection) -> None:
    """Compile what each layer computes in training.

    Layers of a kind and shape share what is compiled, so a deep flow costs no more than a shallow
    one; as a whole, a Glow of spline couplings took minutes.
    """
    if isinstance(bijection, Compose):
        for layer in bijection.layers:
            compile_layers(cast(Bijection, layer))
    elif isinstance(bijection, Partial):
        compile_layers(bijection.bijection)
    else:
        bijection._encode = _Compiled(bijection)  # type: ignore[method-assign]


class _Compiled:
    """A layer's encode: compiled in training, which goes on with batches of one size."""

    def __init__(self, layer: Bijection) -> None:
        self.layer, self.eager, self.compiled = layer, layer._encode, torch.compile(layer._encode)

    def __call__(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (self.compiled if self.layer.training else self.eager)(x, context)
