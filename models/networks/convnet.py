"""Convolutional conditioner networks of images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.conditioner import Conditioner, Network, accept_former_name
from models.numerics import Convolution


class ConvNet(Network):
    """Convolutions over an image: 3 × 3 in the first and last layer, 1 × 1 between.

    Kingma & Dhariwal 2018, §3.3. The network can distinguish pixels at a border: there the last
    convolution reads zeros of the padding, elsewhere hidden units with their biases. With
    `positional_bias` it can distinguish all pixels.

    Args:
        inputs, outputs: channels in and out.
        sides: H and W.
        conditioner: channels of the hidden layers, activation, dropout.
    """

    def __init__(
        self, inputs: int, outputs: int, sides: Sequence[int], conditioner: Conditioner
    ) -> None:
        super().__init__()
        widths = [inputs, *conditioner.hidden, outputs]
        last = len(widths) - 2
        self.convolutions = nn.ModuleList(
            Convolution(widths[i], widths[i + 1], 3 if i in (0, last) else 1)
            for i in range(last + 1)
        )
        self.positional_bias: nn.Parameter | None = None
        if conditioner.positional_bias:
            self.positional_bias = nn.Parameter(torch.zeros(widths[1], *sides))
        accept_former_name(self, "places", "positional_bias")
        self.conditioner = conditioner
        conditioner.initialize(self.convolutions[-1])

    def _forward(self, x: Tensor) -> Tensor:
        """Batch × inputs × H × W → batch × outputs × H × W."""
        if self.training:  # a third faster on a CPU, forward and backward
            x = x.contiguous(memory_format=torch.channels_last)
        return self.conditioner.run([self._first, *self.convolutions[1:]], x, self.training)

    def _first(self, x: Tensor) -> Tensor:
        h: Tensor = self.convolutions[0](x)
        return h if self.positional_bias is None else h + self.positional_bias.to(h.dtype)
