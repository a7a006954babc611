"""The flow in float64, and its answers to held-out rows and to noise."""

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.bijection import Cost
from models.flow import Flow
from models.layerwise import decode_by_layers
from service.bundle import Direction, SelfTest
from training.data import Dataset
from training.export.reference.expected import Expected, Feed, Float64, GraphName, alternating
from training.export.served_graph import ServedGraph
from training.progress import say_where
from training.scoring import row_flops, rows_at_once, threads_for

# Rows of the reference: of held-out rows, and as many of noise.
REFERENCE_ROWS = 256

# Rows of the reference at once: with all rows, wide flows of images need gigabytes in float64.
ROWS_AT_ONCE = 64

# Floating-point operations of all rows, in as many passes, from which few rows go by steps. MintNet
# on MNIST is above: its 512 rows took 21 s of a core by steps. A MAF of BSDS300 is far below.
MAX_STEPWISE_FLOPS, STEPWISE_ROWS = 2**34, 64
# Those of held-out rows, beyond which they are fewer: a WaveNet takes 0.1 to 0.3 s for each.
MAX_HELD_OUT_FLOPS, MIN_HELD_OUT_ROWS = 2**36, 128


class Reference:
    """A flow in float64, and its outputs on held-out rows.

    Inputs to encode are held-out rows, with dequantisation noise if there is any; inputs to decode
    are their latents and fresh noise.

    **Where one direction costs much and the other is one pass**, the latter answers for most rows.
    It maps u to v, and so the costly direction maps v to u. A graph is asked about v in float32,
    which is not quite v: u is a near answer, off by the flow's own sensitivity to that rounding.
    Rows of which a graph's answer is within a tenth of the bars of the near one count as measured;
    for all others the costly direction itself is computed (`Expected.settle`). An error of a graph
    stays hidden only if it undoes, in all coordinates, the effect of a rounding that it does not
    know of. Beside these rows `STEPWISE_ROWS` of the other kind have exact answers: noise to
    decode, held-out rows to encode. 64 rows of a WaveNet on MNIST and 128 near answers take 31 s of
    a core, where 256 and 512 took 92.

    Nothing else was found to be both sound and cheaper. A pass over a graph's answer, compared
    with the graph's input, costs as much as the steps (a WaveNet's arithmetic is the same) and does
    not see the most frequent miss: steps of a steep flow in float32 are consistent with each other
    and still lead far away. To follow the difference back (Newton, or sweeps) costs several passes.

    Args:
        flow: the flow, in float32.
        dataset: has the held-out rows.
        with_layers: whether outputs layer by layer are wanted too.
        short: whether most answers of a costly direction may be near ones; None where all by steps
            take more than `MAX_STEPWISE_FLOPS`.
    """

    def __init__(
        self,
        flow: Flow,
        dataset: Dataset,
        with_layers: bool = False,
        short: bool | None = None,
    ) -> None:
        self.flow = copy.deepcopy(flow).double().eval()
        costly, flops = _costly_direction(flow), row_flops(flow) or 0
        if short is None:
            short = costly is not None and 2 * REFERENCE_ROWS * flops > MAX_STEPWISE_FLOPS
        count = REFERENCE_ROWS
        if short:
            fitting = max(MIN_HELD_OUT_ROWS, MAX_HELD_OUT_FLOPS // max(1, flops))
            count = min(count, fitting)
        rows = np.arange(count) % len(dataset.test)  # repeated where there are fewer
        self.rows: Feed = {"x": dataset.noisy(dataset.test.rows[rows], copies=1, seed=0)[0]}
        """Held-out rows, which graphs alone are tried on."""
        context: Feed = {}
        if dataset.test.context is not None:
            context = {"context": dataset.test.context[rows]}
            self.rows |= context
        sampled = flow.base.sample(count, torch.Generator().manual_seed(0)).numpy()
        noise = {"z": sampled} | context
        few = partial(_first, rows=STEPWISE_ROWS)
        if short and costly == "encode":
            self.held_out = self._answered("encode", few(self.rows))
            drawn = self._answered("decode", noise)
            encode = alternating(self.held_out, self._near(drawn, "encode"))
            decode = alternating(self._answered("decode", _turned(self.held_out, "z")), drawn)
        else:
            encode = self.held_out = self._answered("encode", self.rows)
            if short and costly == "decode":
                back = self._near(encode, "decode")
                decode = alternating(self._answered("decode", few(noise)), back)
            else:
                latents = self._answered("decode", _turned(encode, "z"))
                decode = alternating(latents, self._answered("decode", noise))
        self.expected: dict[GraphName, Expected] = {"encode": encode, "decode": decode}
        if with_layers:
            self.expected["layers"] = self._answered("layers", decode.feed)

    def self_test(self) -> SelfTest:
        """The row of median log_prob, with which a server checks its graphs."""
        expected = self.held_out
        middle = int(np.argsort(expected.log_prob)[len(expected.log_prob) // 2])
        row = {name: rows[middle].ravel().tolist() for name, rows in expected.feed.items()}
        return SelfTest(
            x=row["x"], context=row.get("context"), log_prob=float(expected.log_prob[middle])
        )

    def residual(self, direction: Direction, graph: ServedGraph) -> float:
        """The error of a round trip: through a graph, and back through the float64 flow.

        Args:
            direction: of the graph.
            graph: that is measured.

        Returns:
            The largest difference, as a fraction of the input's range (1 at least).
        """
        feed = self.expected[direction].feed
        source, inputs = next(iter(feed.items()))
        answer, _ = graph.answers(feed)
        back, _ = self._run("decode" if source == "x" else "encode", feed | {source: answer})
        return float(np.abs(back - inputs).max() / max(1.0, np.ptp(inputs)))

    def _answered(self, name: GraphName, feed: Feed) -> Expected:
        """Inputs, with the exact outputs."""
        return Expected(feed, *self._run(name, feed), answer=partial(self._run, name))

    def _near(self, other: Expected, direction: Direction) -> Expected:
        """The outputs of the other direction as inputs, of which its inputs are the near answers.

        Rows that have no answer in float32, or leave the support by their rounding, are left out.
        """
        feed = _turned(other, "x" if direction == "encode" else "z")
        source, values = next(iter(feed.items()))
        usable = np.isfinite(values) & np.isfinite(
            other.log_prob.reshape(-1, *[1] * (values.ndim - 1))
        )
        if source == "x" and (box := self.flow.bijection.support) is not None:
            low, high = (np.asarray(edge, np.float32) for edge in box)
            usable &= (values > low) & (values < high)
        rows = np.flatnonzero(usable.reshape(len(values), -1).all(1))
        return Expected(
            {name: values[rows] for name, values in feed.items()},
            next(iter(other.feed.values()))[rows].astype(np.float64),
            other.log_prob[rows].copy(),
            np.ones(len(rows), bool),
            partial(self._run, direction),
        )

    def _run(self, name: GraphName, feed: Feed) -> tuple[Float64, Float64]:
        """The outputs of the float64 flow."""
        flow = self.flow
        calls: dict[GraphName, Callable[..., tuple[Tensor, Tensor]]] = {
            "encode": flow.encode,
            "decode": flow.decode,
            "layers": partial(decode_by_layers, flow),
        }
        call, cost = calls[name], flow.encode_cost if name == "encode" else flow.decode_cost
        at_once = self._rows_at_once(cost)
        inputs = [torch.split(torch.from_numpy(v).double(), at_once) for v in feed.values()]
        with torch.no_grad(), threads_for(cost):
            answers: list[tuple[Tensor, Tensor]] = []
            for batch in zip(*inputs, strict=True):
                say_where(f"{name}, {at_once * len(answers)} of {at_once * len(inputs[0])} rows")
                answers.append(call(*batch))
        value, log_prob = (torch.cat(batches).numpy() for batches in zip(*answers, strict=True))
        return value, log_prob

    def _rows_at_once(self, cost: Cost) -> int:
        """Rows that are computed together: all that go value by value, which takes no memory."""
        fitting = -(-rows_at_once(self.flow.event_shape, cost) // 2)
        return fitting if cost == "sequential" else min(ROWS_AT_ONCE, fitting)


def _costly_direction(flow: Flow) -> Direction | None:
    """The direction that is no single pass where the other one is."""
    costs: dict[Direction, Cost] = {"encode": flow.encode_cost, "decode": flow.decode_cost}
    costly = [direction for direction, cost in costs.items() if cost != "parallel"]
    return costly[0] if len(costly) == 1 else None


def _turned(expected: Expected, source: str) -> Feed:
    """Outputs in float32 as inputs of the other direction."""
    rest = {k: v for k, v in expected.feed.items() if k == "context"}
    return {source: expected.value.astype(np.float32)} | rest


def _first(feed: Feed, rows: int) -> Feed:
    return {name: values[:rows] for name, values in feed.items()}
