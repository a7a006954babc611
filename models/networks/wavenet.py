"""The causal convolutional network of WaveNet (van den Oord et al. 2016)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.conditioner import Conditioner, Network, accept_former_name

# Steps of a decode between two shifts of its long queues.
BLOCK_STEPS = 64


Sums = Callable[[int, Tensor], Tensor]
"""The index of a hidden layer and its current input → what it adds up, with its biases."""


def doubled_dilations(layers: int, cycle: int) -> list[int]:
    """Dilations of hidden layers that double, and after each cycle start from 1 again.

    Raises:
        ValueError: a cycle of no layers.
    """
    if cycle < 1:
        raise ValueError(f"cycle is at least 1, got {cycle}")
    return [2 ** (i % cycle) for i in range(layers)]


class CausalConvNet(Network):
    """Dilated convolutions over time whose output at t reads only the values before t.

    Van den Oord et al. 2016, "WaveNet", §2.1, with residual connections (§2.4) between hidden
    layers of equal width, and a context that adds to the biases of every hidden layer (§2.5).
    Each hidden layer reads the layer before it at the same time and as many steps earlier as its
    dilation; the first one reads the values delayed by one step. Before the start all values are
    zero. An output reads of the last 1 + Σ dilations values those that 1 and a sum of some of the
    dilations lead to.

    A layer is a linear map of its two inputs rather than `conv1d`: whole sequences and single steps
    then share their code, and onnxruntime has no convolutions in float64. In training it is one
    product with both inputs side by side; else it is the sum of two products, which spares a copy
    of both.

    Args:
        length: T, the length of the sequences.
        size: outputs at each time.
        context: number of features that every output may read, or 0.
        conditioner: channels of the hidden layers, activation, dropout; with `positional_bias` the
            first layer has a bias for each time.
        dilations: of the hidden layers, in steps.

    Raises:
        ValueError: no hidden layer, another number of dilations, one below 1, or a conditioner that
            is residual too.
    """

    def __init__(
        self,
        length: int,
        size: int,
        context: int,
        conditioner: Conditioner,
        dilations: Sequence[int],
    ) -> None:
        super().__init__()
        self.widths = list(conditioner.hidden)
        if not self.widths:
            raise ValueError("a causal network has at least one hidden layer: `hidden` is empty")
        if conditioner.residual:
            raise ValueError("a causal network is always residual: leave `residual` out")
        if len(dilations) != len(self.widths):
            raise ValueError(
                f"as many dilations as hidden layers, {len(self.widths)}, are wanted, got "
                f"{len(dilations)}"
            )
        if min(dilations) < 1:
            raise ValueError(f"dilations are at least 1, got {min(dilations)}")
        # no value is more than T steps ago, so no queue is longer
        self.dilations = [min(steps, length) for steps in dilations]
        read = [1, *self.widths[:-1]]
        self.hidden = nn.ModuleList(
            nn.Linear(2 * before, after) for before, after in zip(read, self.widths, strict=True)
        )
        self.positional_bias: nn.Parameter | None = None
        if conditioner.positional_bias:
            self.positional_bias = nn.Parameter(torch.zeros(length, self.widths[0]))
        accept_former_name(self, "places", "positional_bias")
        self.context = nn.Linear(context, sum(self.widths), bias=False) if context else None
        self.last = nn.Linear(self.widths[-1], size)
        self.conditioner = conditioner
        conditioner.initialize(self.last)

    def biases(self, context: Tensor | None) -> list[Tensor]:
        """Biases of the hidden layers, with what a context adds: channels, or batch × channels."""
        own: list[Tensor] = [layer.bias for layer in self._layers()]
        if self.context is None or context is None:
            return own
        added = torch.split(self.context(context.flatten(1)), self.widths, -1)
        return [bias + more for bias, more in zip(own, added, strict=True)]

    def sequence(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Outputs at all times at once: batch × T, and a context → batch × T × size."""
        added: Sequence[Tensor] = ()
        if self.context is not None and context is not None:
            added = torch.split(self.context(context.flatten(1))[:, None], self.widths, -1)

        def sums(i: int, h: Tensor) -> Tensor:
            both: Tensor = self.hidden[i](torch.cat([_delayed(h, self.dilations[i]), h], -1))
            return both + added[i].to(both.dtype) if added else both

        theta: Tensor = self(_delayed(x[..., None], 1), sums, self.positional_bias)
        return theta

    def past_sums(self, i: int, past: Tensor, bias: Tensor) -> Tensor:
        """What hidden layer i adds up before its current input.

        Args:
            i: index of the layer.
            past: its inputs `dilation` steps ago, (steps ×) batch × channels.
            bias: one of `biases`.
        """
        weight = self._layers()[i].weight[:, : past.shape[-1]]
        if bias.ndim == 1:
            return F.linear(past, weight, bias)
        return torch.addmm(bias, past, weight.T) if past.ndim == 2 else past @ weight.T + bias

    def all_sums(self, i: int, past_sums: Tensor, h: Tensor) -> Tensor:
        """What hidden layer i adds up.

        Args:
            i: index of the layer.
            past_sums: what it adds up before its current input.
            h: that input, (steps ×) batch × channels.
        """
        weight = self._layers()[i].weight[:, -h.shape[-1] :]
        sums = torch.addmm(past_sums.flatten(0, -2), h.flatten(0, -2), weight.T)
        return sums.view_as(past_sums)

    def _forward(self, before: Tensor, sums: Sums, positional_bias: Tensor | None = None) -> Tensor:
        """Values one step before, … × 1 → outputs, … × size.

        Args:
            before: the values.
            sums: what each hidden layer adds up.
            positional_bias: that of each value, to be broadcast.
        """
        h = before
        for i in range(len(self.hidden)):
            total = sums(i, h)
            if positional_bias is not None and i == 0:
                total = total + positional_bias.to(total.dtype)
            units = self.conditioner.hidden_units(total, None, self.training)
            h = h + units if i > 0 and h.shape[-1] == units.shape[-1] else units
        theta: Tensor = self.last(h)
        return theta

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]


def _delayed(h: Tensor, steps: int) -> Tensor:
    """Delay sequences, batch × T × channels, by some steps; zeros come first."""
    delayed: Tensor = F.pad(h, (0, 0, steps, 0))[:, : h.shape[1]]
    return delayed
