"""What several laws of layers need."""

import torch
from torch import Tensor

from models.bijection import Bijection
from models.layers.autoregressive import MaskedAutoregressive
from models.networks.conditioner import Conditioner
from models.numerics.univariate import Additive


def jacobian(layer: Bijection, x: Tensor) -> Tensor:
    found = torch.autograd.functional.jacobian(lambda v: layer.encode(v[None])[0].flatten(), x)
    assert isinstance(found, Tensor)
    return found.reshape(x.numel(), x.numel())


def chain() -> tuple[MaskedAutoregressive, Tensor]:
    """A layer whose sweeps go beyond float32 on the way to x, which is ones; and its z."""
    layer = MaskedAutoregressive((40,), Additive(), range(40), Conditioner(()))
    (linear,) = layer.network.linears
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.zero_()
        linear.weight.diagonal(-1).fill_(1024.0)  # type: ignore[operator]
        return layer, layer.encode(torch.ones(5, 40))[0]
