"""Autoregressive flows over time whose conditioner is a causal convolutional network (WaveNet)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.networks import BLOCK_STEPS, CausalConvNet, Conditioner
from models.numerics import Tensors, UnivariateMap, scan_loop


class QueuedDecoding:
    """Decoding in the order of time, with queues, so that each hidden unit is computed once.

    Every hidden layer has a queue of its past inputs, oldest first, as long as its dilation (Le
    Paine et al. 2016, §2). Queues shorter than `BLOCK_STEPS` are shifted at every step. The others
    already hold all that a block of steps reads from them, and are shifted once a block: shifting
    the longest at every step would cost many times what the network costs.

    Args:
        network, univariate: those of the layer.
        context_bias: what the context adds to the biases of the network.
    """

    def __init__(
        self, network: CausalConvNet, univariate: UnivariateMap, context_bias: Tensor | None
    ) -> None:
        self.network, self.univariate, self.context_bias = network, univariate, context_bias
        numbered = list(enumerate(network.dilations))
        self.short = [i for i, steps in numbered if steps < BLOCK_STEPS]
        self.long = [i for i, steps in numbered if steps >= BLOCK_STEPS]

    def initial_states(self, z: Tensor) -> list[Tensor]:
        """Zeros: the value before the first, batch × 1, then short queues, then long queues."""
        widths, dilations = [1, *self.network.widths], self.network.dilations
        queues = [z.new_zeros(dilations[i], z.shape[0], widths[i]) for i in self.short + self.long]
        return [z.new_zeros(z.shape[0], 1), *queues]

    def block(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Make at most `BLOCK_STEPS` steps.

        Args:
            states: the last value, short queues and long queues.
            rows: z and, if the network has one, the positional bias, each steps × ….

        Returns:
            The states afterwards; x and log|dx/dz|, each steps × batch.
        """
        short_states, queues = states[: 1 + len(self.short)], states[1 + len(self.short) :]
        steps = rows[0].shape[0]
        recalled = [queue[:steps] for queue in queues]
        short_states, (x, log_slope, *inputs) = scan_loop(
            self.step, short_states, [*recalled, *rows]
        )
        shifted = [torch.cat([q[steps:], new]) for q, new in zip(queues, inputs, strict=True)]
        return [*short_states, *shifted], [x, log_slope]

    def step(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Make one step.

        Args:
            states: the last value and short queues.
            rows: what is recalled from long queues, then z and perhaps the positional bias.

        Returns:
            The states afterwards; x, log|dx/dz| and the new inputs of the long queues.
        """
        before, *queues = states
        recalled, (z, *positional_bias) = rows[: len(self.long)], rows[len(self.long) :]
        past = dict(zip(self.short, (queue[0] for queue in queues), strict=True))
        past |= dict(zip(self.long, recalled, strict=True))
        inputs: dict[int, Tensor] = {}

        def recall(i: int, h: Tensor) -> Tensor:
            inputs[i] = h
            return past[i]

        theta = self.network(before, self.context_bias, recall, *positional_bias)
        x, log_slope = self.univariate.decode(z, theta)
        shifted = [
            torch.cat([queue[1:], inputs[i][None]])
            for i, queue in zip(self.short, queues, strict=True)
        ]
        return [x[:, None], *shifted], [x, log_slope, *(inputs[i] for i in self.long)]


class CausalAutoregressive(Bijection):
    """Maps each value of a sequence monotonically, given the values before it in time.

    Encoding is one pass of a WaveNet (van den Oord et al. 2016). Decoding computes the values in
    the order of time, with queues of what is read again later (Le Paine et al. 2016). It computes
    each hidden unit once, so that all its steps together cost the arithmetic of one pass, and
    dropout is the same function in both directions. `Inverted(CausalAutoregressive(…))` is the
    student of Parallel WaveNet (van den Oord et al. 2018).

    Args:
        event_shape: (T,), T values in the order of time.
        univariate: the map of each value.
        conditioner: shape of the causal network.
        cycle: cycle of its dilations (`CausalConvNet`).
        reverse: whether time runs from the last value to the first.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: an event shape of other than one axis, or an error of `CausalConvNet`.
    """

    decode_cost = "sequential"

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        conditioner: Conditioner,
        cycle: int = 10,
        reverse: bool = False,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if len(self.event_shape) != 1:
            raise ValueError(f"expected an event shape of T values in time, got {self.event_shape}")
        self.univariate = univariate
        self.reverse = reverse
        self.network = CausalConvNet(
            self.event_shape[0], univariate.size, self.context_features, conditioner, cycle
        )

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each value's map: batch × T → batch × T × univariate.size."""
        return self._time_order(self.network.sequence(self._time_order(x), context))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._time_order(x)
        z, log_det = self.univariate.encode(x, self.network.sequence(x, context))
        return self._time_order(z), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        context_bias = self.network.context_bias(context)
        decoding = QueuedDecoding(self.network, self.univariate, context_bias)
        rows = [self._time_order(z).T]
        if self.network.positional_bias is not None:
            rows.append(self.network.positional_bias)
        (length,) = self.event_shape
        count, in_blocks = length // BLOCK_STEPS, length // BLOCK_STEPS * BLOCK_STEPS
        states: Tensors = decoding.initial_states(z)
        outputs: list[Tensors] = []
        if count:
            blocks = [row[:in_blocks].reshape(count, BLOCK_STEPS, *row.shape[1:]) for row in rows]
            states, stacked = scan_loop(decoding.block, states, blocks)
            outputs.append([values.flatten(0, 1) for values in stacked])
        if in_blocks < length:
            outputs.append(decoding.block(states, [row[in_blocks:] for row in rows])[1])
        x, log_slope = (torch.cat(values) for values in zip(*outputs, strict=True))
        return self._time_order(x.T), sum_event(log_slope.T)

    def _time_order(self, values: Tensor) -> Tensor:
        """Convert between the order of the row and that of time, in either direction."""
        return values.flip(1) if self.reverse else values
