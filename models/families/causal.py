"""Families of causal convolutional layers, for sequences of values in time."""

from dataclasses import dataclass, replace

from models.bijection import Bijection, Inverted, Shape
from models.families.univariate import UnivariateFamily
from models.layers import CausalAutoregressive
from models.networks import Conditioner


@dataclass(frozen=True, kw_only=True)
class WaveNet(UnivariateFamily):
    """Each value by its conditional given those before it (van den Oord et al. 2016).

    Rows are sequences of one axis; `hidden` are channels of dilated causal convolutions.

    Args:
        cycle: dilations double from layer to layer, and start from 1 again after so many: n hidden
            layers of one cycle see the last 2^n values.
        places: whether each time has biases of its own in the networks, for rows that are framed
            alike, such as centred digits.
        alternate: time runs backwards in every other layer.
    """

    transforms: int = 2
    hidden: tuple[int, ...] = (32,) * 6
    activation: str = "silu"  # nearest to WaveNet's gates: 9 nats better on digits than relu
    cycle: int = 10
    places: bool = False
    alternate: bool = True

    @property
    def conditioner(self) -> Conditioner:
        """The shape of each layer's network."""
        return replace(super().conditioner, places=self.places)

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` causal autoregressive layers."""
        return [
            CausalAutoregressive(
                event_shape,
                self.univariate_map(self.univariate),
                self.conditioner,
                self.cycle,
                reverse=self.alternate and i % 2 == 1,
                context_shape=context_shape,
            )
            for i in range(self.transforms)
        ]


@dataclass(frozen=True, kw_only=True)
class ParallelWaveNet(WaveNet):
    """WaveNet with every layer inverted: samples in one pass (van den Oord et al. 2018).

    Trained by distillation, as there; by maximum likelihood each step of training goes through
    time. It takes dropout, unlike `iaf`: its encode computes each hidden unit once.
    """

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` inverted causal autoregressive layers."""
        return [Inverted(layer) for layer in super().layers(event_shape, context_shape)]
