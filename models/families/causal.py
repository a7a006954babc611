"""Families of causal convolutional layers, for sequences of values in time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from models.bijection import Bijection, Inverted, Shape
from models.families.univariate import UnivariateFamily
from models.layers import CausalAutoregressive
from models.networks import Conditioner, doubled_dilations


@dataclass(frozen=True, kw_only=True)
class WaveNet(UnivariateFamily):
    """The conditional of each value given the values before it (van den Oord et al. 2016).

    Rows are sequences of one axis; `hidden` are the channels of dilated causal convolutions.

    Args:
        cycle: number of hidden layers over which dilations double before they start from 1 again:
            n hidden layers of one cycle read the last 2^n values.
        dilations: how many steps earlier each hidden layer reads the one before it, in place of
            those that double. For an image of width W in raster order, those of about W, 2 W, 4 W …
            in turns with 1, 2, 4 … read rows above as directly as pixels to the left.
        positional_bias: whether the networks have a bias for each time, for rows that are framed
            alike, such as centred digits.
        alternate: whether time runs backwards in every other layer.
    """

    former_names: ClassVar[Mapping[str, str]] = {"places": "positional_bias"}

    transforms: int = 2
    hidden: tuple[int, ...] = (32,) * 6
    activation: str = "silu"  # closest to the gates of WaveNet: 9 nats better on digits than relu
    cycle: int = 10
    dilations: tuple[int, ...] | None = None
    positional_bias: bool = False
    alternate: bool = True

    @property
    def conditioner(self) -> Conditioner:
        """The shape of the network in each layer."""
        return replace(super().conditioner, positional_bias=self.positional_bias)

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` causal autoregressive layers."""
        dilations = self.dilations
        if dilations is None:
            dilations = tuple(doubled_dilations(len(self.hidden), self.cycle))
        return [
            CausalAutoregressive(
                event_shape,
                self.univariate_map(self.univariate),
                self.conditioner,
                dilations,
                reverse=self.alternate and i % 2 == 1,
                context_shape=context_shape,
            )
            for i in range(self.transforms)
        ]


@dataclass(frozen=True, kw_only=True)
class ParallelWaveNet(WaveNet):
    """WaveNet with every layer inverted: samples in one pass (van den Oord et al. 2018).

    It is trained by distillation, as in the paper: with maximum likelihood each training step
    computes the values one after another. Unlike `iaf` it can have dropout, because its encode
    computes each hidden unit once.
    """

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` inverted causal autoregressive layers."""
        return [Inverted(layer) for layer in super().layers(event_shape, context_shape)]
