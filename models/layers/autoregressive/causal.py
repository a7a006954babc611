"""Autoregressive flows over time whose conditioner is a causal convolutional network (WaveNet)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.bijection import sum_event
from models.layers.autoregressive.base import Autoregressive
from models.layers.autoregressive.sequential_inverse import Inverse
from models.layers.autoregressive.sweeps import sweep
from models.networks import BLOCK_STEPS, CausalConvNet, Conditioner, doubled_dilations
from models.numerics import Tensors, UnivariateMap, scan_in_blocks, scan_loop

# Hidden units of a layer, for one row, that encoding computes at a time. Exported, fsdd-wavenet
# took 2.2 MB a row and 39 ms on one thread of an EPYC; with twice as many 2.7 MB and 45 ms; with
# half as many 1.8 MB and 44 ms, and 0.9 s to load in place of 0.3; all at once 7.7 MB and 60 ms.
CHUNK_UNITS = 2**15


class ChunkedEncoding:
    """Encoding in chunks of time, with queues of what later chunks read again.

    However long a row is, memory holds the hidden units of one chunk and as many inputs of each
    hidden layer as its dilation; and what a layer writes is in the cache when the next one reads.

    Args:
        network, univariate: those of the layer.
        biases: of the hidden layers.
    """

    def __init__(
        self, network: CausalConvNet, univariate: UnivariateMap, biases: Sequence[Tensor]
    ) -> None:
        self.network, self.univariate, self.biases = network, univariate, biases
        self._queues: dict[int, Tensor] = {}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Steps × batch → z and log|dz/dx|, of the same shape."""
        count = -(-len(x) * max(self.network.widths) // CHUNK_UNITS)
        length = -(-len(x) // count)
        self._queues.clear()
        rest = F.pad(x, (0, 0, 1, 0))  # the value before the first one is zero
        outputs: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(x), length):
            part, rest = rest[: length + 1], rest[length:]
            z, log_slope = self._encode_chunk(part, start)
            if len(rest) > 1:
                # what is not needed yet is computed late in an exported graph, and hidden units of
                # many chunks would wait for it: so the next chunk reads what depends on all of this
                sizes = [len(rest), len(z), len(z)]
                rest, z, log_slope = torch.split(torch.cat([rest, z, log_slope]), sizes)
            outputs.append((z, log_slope))
        z, log_slope = (torch.cat(values) for values in zip(*outputs, strict=True))
        return z, log_slope

    def _encode_chunk(self, x: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """The value before a chunk and those of it, (1 + steps) × batch → z and log|dz/dx|."""
        bias = self.network.positional_bias
        at_steps = () if bias is None else (bias[start : start + len(x) - 1, None],)
        theta = self.network(x[:-1, :, None], self._sums, *at_steps)
        return self.univariate.encode(x[1:], theta)

    def _sums(self, i: int, h: Tensor) -> Tensor:
        """What a hidden layer adds up, of its inputs in the chunk."""
        past_sums = self.network.past_sums(i, self._recall(i, h), self.biases[i])
        return self.network.all_sums(i, past_sums, h)

    def _recall(self, i: int, h: Tensor) -> Tensor:
        """The inputs of a hidden layer `dilation` steps ago; those in the chunk are kept."""
        dilation, steps, queue = self.network.dilations[i], len(h), self._queues.get(i)
        if dilation < steps:
            first, last = torch.split(h, [steps - dilation, dilation])
            self._queues[i] = last.clone()  # or all of h would be kept
            if queue is None:
                return F.pad(first, (0, 0, 0, 0, dilation, 0))
            return torch.cat([queue, first])
        if queue is None:
            queue = h.new_zeros(dilation, *h.shape[1:])
        self._queues[i] = torch.cat([queue[steps:], h])
        return queue[:steps]


class QueuedDecoding:
    """Decoding in the order of time, with queues, so that each hidden unit is computed once.

    Every hidden layer has a queue of its past inputs, oldest first, as long as its dilation (Le
    Paine et al. 2016, §2). Queues shorter than `BLOCK_STEPS` are shifted at every step. The others
    already hold all that a block of steps reads from them, which is multiplied at once, and are
    shifted once a block: shifting the longest at every step would cost many times what the network
    costs.

    Args:
        network, univariate: those of the layer.
        biases: of the hidden layers.
    """

    def __init__(
        self, network: CausalConvNet, univariate: UnivariateMap, biases: Sequence[Tensor]
    ) -> None:
        self.network, self.univariate, self.biases = network, univariate, biases
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
        past_sums = [
            self.network.past_sums(i, queue[:steps], self.biases[i])
            for i, queue in zip(self.long, queues, strict=True)
        ]
        short_states, (x, log_slope, *inputs) = scan_loop(
            self.step, short_states, [*past_sums, *rows]
        )
        shifted = [torch.cat([q[steps:], new]) for q, new in zip(queues, inputs, strict=True)]
        return [*short_states, *shifted], [x, log_slope]

    def step(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Make one step.

        Args:
            states: the last value and short queues.
            rows: what layers of long queues add up before their current inputs, then z and perhaps
                the positional bias.

        Returns:
            The states afterwards; x, log|dx/dz| and the new inputs of the long queues.
        """
        before, *queues = states
        long_sums, (z, *positional_bias) = rows[: len(self.long)], rows[len(self.long) :]
        past_sums = dict(zip(self.long, long_sums, strict=True))
        for i, queue in zip(self.short, queues, strict=True):
            past_sums[i] = self.network.past_sums(i, queue[0], self.biases[i])
        inputs: dict[int, Tensor] = {}

        def sums(i: int, h: Tensor) -> Tensor:
            inputs[i] = h
            return self.network.all_sums(i, past_sums[i], h)

        theta = self.network(before, sums, *positional_bias)
        x, log_slope = self.univariate.decode(z, theta)
        shifted = [
            torch.cat([queue[1:], inputs[i][None]])
            for i, queue in zip(self.short, queues, strict=True)
        ]
        return [x[:, None], *shifted], [x, log_slope, *(inputs[i] for i in self.long)]


class CausalAutoregressive(Autoregressive):
    """Maps each value of a sequence monotonically, given the values before it in time.

    Encoding is one pass of a WaveNet (van den Oord et al. 2016), when not in training in chunks of
    time. Decoding computes the values in
    the order of time, with queues of what is read again later (Le Paine et al. 2016). It computes
    each hidden unit once, so that all its steps together cost the arithmetic of one pass, and
    dropout is the same function in both directions. `Inverted(CausalAutoregressive(…))` is the
    student of Parallel WaveNet (van den Oord et al. 2018).

    Args:
        event_shape: (T,), T values in the order of time.
        univariate: the map of each value.
        conditioner: shape of the causal network.
        dilations: of its hidden layers, in steps (`CausalConvNet`); they double where left out.
        reverse: whether time runs from the last value to the first.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: an event shape of other than one axis, or an error of `CausalConvNet`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        conditioner: Conditioner,
        dilations: Sequence[int] | None = None,
        reverse: bool = False,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if len(self.event_shape) != 1:
            raise ValueError(f"expected an event shape of T values in time, got {self.event_shape}")
        self.univariate = univariate
        self.reverse = reverse
        self.inverse = Inverse("sequential", 1)
        if dilations is None:
            layers = len(conditioner.hidden)
            dilations = doubled_dilations(layers, max(1, layers))
        self.network = CausalConvNet(
            self.event_shape[0], univariate.size, self.context_features, conditioner, dilations
        )

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each value's map: batch × T → batch × T × univariate.size."""
        return self._time_order(self.network.sequence(self._time_order(x), context))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._time_order(x)
        if self.training:
            z, log_slope = self.univariate.encode(x, self.network.sequence(x, context))
            return self._time_order(z), sum_event(log_slope)
        encoding = ChunkedEncoding(self.network, self.univariate, self.network.biases(context))
        z, log_slope = encoding.encode(x.T)
        return self._time_order(z.T), sum_event(log_slope.T)

    def _decode_from(
        self, z: Tensor, start: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        inverse = self._current_inverse()
        # dropout would differ from sweep to sweep
        if inverse.method == "jacobi" and not self.training:
            return self._swept(z, start, context, inverse.tolerance)
        decoding = QueuedDecoding(self.network, self.univariate, self.network.biases(context))
        rows = [self._time_order(z).T]
        if self.network.positional_bias is not None:
            rows.append(self.network.positional_bias)
        states = decoding.initial_states(z)
        x, log_slope = scan_in_blocks(decoding.block, states, rows, BLOCK_STEPS)
        return self._time_order(x.T), sum_event(log_slope.T)

    def _swept(
        self, z: Tensor, start: Tensor | None, context: Tensor | None, tolerance: float
    ) -> tuple[Tensor, Tensor]:
        """Decode by sweeps over all of time."""
        z = self._time_order(z)
        guess = torch.zeros_like(z) if start is None else self._time_order(start)

        def step(last: Tensor) -> tuple[Tensor, Tensor]:
            return self.univariate.decode(z, self.network.sequence(last, context))

        x, log_slope = sweep(step, guess, [torch.zeros_like(z)], tolerance, z.shape[1])
        return self._time_order(x), sum_event(log_slope)

    def _time_order(self, values: Tensor) -> Tensor:
        """Convert between the order of the row and that of time, in either direction."""
        return values.flip(1) if self.reverse else values
