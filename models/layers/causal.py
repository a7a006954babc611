"""Autoregressive flows over time whose conditioner is a causal convolutional network (WaveNet)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.networks import BLOCK_STEPS, CausalConvNet, Conditioner
from models.numerics import Tensors, UnivariateMap, scan_loop


class Walk:
    """A causal layer's way through time, which computes each hidden unit once.

    Every hidden layer has a queue of what it has read, oldest first, as long as its dilation (Le
    Paine et al. 2016, §2). Those of fewer than `BLOCK_STEPS` steps move at every step. What the others
    give back within a block they held before it, and they move from block to block: moved at every
    step, the longest would cost many times what the network does.

    Args:
        network, univariate: the layer's.
        moves: what the context adds to the network's biases.
    """

    def __init__(
        self, network: CausalConvNet, univariate: UnivariateMap, moves: Tensor | None
    ) -> None:
        self.network, self.univariate, self.moves = network, univariate, moves
        numbered = list(enumerate(network.dilations))
        self.short = [i for i, steps in numbered if steps < BLOCK_STEPS]
        self.long = [i for i, steps in numbered if steps >= BLOCK_STEPS]

    def start(self, z: Tensor) -> list[Tensor]:
        """The value before the first, batch × 1, and queues: short ones, then long ones."""
        widths, dilations = [1, *self.network.widths], self.network.dilations
        queues = [z.new_zeros(dilations[i], z.shape[0], widths[i]) for i in self.short + self.long]
        return [z.new_zeros(z.shape[0], 1), *queues]

    def block(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Go through as many steps as `rows`, z and perhaps places, have, which is at most `BLOCK_STEPS`.

        Gives the states after them, and x and log|dx/dz|, each steps × batch.
        """
        now, queues = states[: 1 + len(self.short)], states[1 + len(self.short) :]
        steps = rows[0].shape[0]
        given = [queue[:steps] for queue in queues]
        now, (x, log_slope, *read) = scan_loop(self.step, now, [*given, *rows])
        moved = [torch.cat([q[steps:], r]) for q, r in zip(queues, read, strict=True)]
        return [*now, *moved], [x, log_slope]

    def step(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """One step; `rows` are what long queues give back, and z and perhaps a place."""
        before, *queues = states
        given, (z, *place) = rows[: len(self.long)], rows[len(self.long) :]
        ago = dict(zip(self.short, (queue[0] for queue in queues), strict=True))
        ago |= dict(zip(self.long, given, strict=True))
        read: dict[int, Tensor] = {}

        def recall(i: int, h: Tensor) -> Tensor:
            read[i] = h
            return ago[i]

        theta = self.network(before, self.moves, recall, *place)
        x, log_slope = self.univariate.decode(z, theta)
        moved = [
            torch.cat([queue[1:], read[i][None]])
            for i, queue in zip(self.short, queues, strict=True)
        ]
        return [x[:, None], *moved], [x, log_slope, *(read[i] for i in self.long)]


class CausalAutoregressive(Bijection):
    """Each value of a sequence is mapped monotonically given those before it in time.

    Encoding is one pass of a WaveNet (van den Oord et al. 2016). Decoding goes through time, with
    queues of what will be read again (Le Paine et al. 2016): it computes each hidden unit once, so
    that all its steps together cost the arithmetic of that one pass, and dropout is one function
    in both directions. `Inverted(CausalAutoregressive(…))` is the student of Parallel WaveNet
    (van den Oord et al. 2018).

    Args:
        event_shape: (T,), T values in the order of time.
        univariate: the map of each value.
        conditioner: shape of the causal network.
        cycle: of its dilations (`CausalConvNet`).
        reverse: time runs from the last value to the first.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: an event shape of more axes than time, or of `CausalConvNet`.
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
        return self._turned(self.network.sequence(self._turned(x), context))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._turned(x)
        z, log_det = self.univariate.encode(x, self.network.sequence(x, context))
        return self._turned(z), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        walk = Walk(self.network, self.univariate, self.network.moves(context))
        rows = [self._turned(z).T]
        if self.network.positional_bias is not None:
            rows.append(self.network.positional_bias)
        (length,) = self.event_shape
        whole = length // BLOCK_STEPS * BLOCK_STEPS
        states: Tensors = walk.start(z)
        found: list[Tensors] = []
        if whole:
            blocks = [
                row[:whole].reshape(whole // BLOCK_STEPS, BLOCK_STEPS, *row.shape[1:])
                for row in rows
            ]
            states, outputs = scan_loop(walk.block, states, blocks)
            found.append([output.flatten(0, 1) for output in outputs])
        if whole < length:
            found.append(walk.block(states, [row[whole:] for row in rows])[1])
        x, log_slope = (torch.cat(parts) for parts in zip(*found, strict=True))
        return self._turned(x.T), sum_event(log_slope.T)

    def _turned(self, values: Tensor) -> Tensor:
        """Between the order of the row and that of time."""
        return values.flip(1) if self.reverse else values
