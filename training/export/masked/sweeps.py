"""The end of each sweep over a block of coordinates, as ONNX.

The algorithm is that of `models.layers.autoregressive.sweeps`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from training.export.onnx_builder import Writer


class Sweeping:
    """Ends the body of a loop of sweeps (`sweeps.sweep`); strings are names of values.

    Args:
        body: writes the body.
        last, now: coordinates of a sweep, and of the next one.
        made: what the sweep has computed.
        dtype: number type of all of them.
    """

    def __init__(
        self, body: Writer, last: str, now: str, made: Sequence[str], dtype: np.dtype[Any]
    ) -> None:
        self.body, self.last, self.now, self.made, self.dtype = body, last, now, made, dtype

    def exact(self) -> tuple[onnx.GraphProto, list[str]]:
        """Sweep until nothing changes, and rows that stand still stay as they are.

        Returns:
            The body of the loop, and the initial results after the coordinates.
        """
        body = self.body
        moving = self._not_all(body.one("Equal", self.now, self.last))
        graph = body.loop_body([self.last], moving, [self.now, *self.made], self.dtype)
        return graph, [self._zero()] * len(self.made)

    def up_to(self, tolerance: float) -> tuple[onnx.GraphProto, list[str]]:
        """Sweep until no row changes by more; one that stands still keeps all that it has."""
        body = self.body
        least, factor = (body.constant(self.dtype.type(v)) for v in (1, tolerance))
        scale = body.one("Max", body.one("Abs", self.last), least)
        change = body.one("Abs", body.one("Sub", self.now, self.last))
        still = body.one("LessOrEqual", change, body.one("Mul", scale, factor))
        row_is_still = body.one("ReduceMin", still, body.integers(1), keepdims=1)
        stood, *old = (body.name() for _ in range(1 + len(self.made)))
        kept = [
            body.one("Where", stood, before, new)
            for before, new in zip(old, self.made, strict=True)
        ]
        stands = body.one("Or", stood, row_is_still)
        graph = body.loop_body(
            [self.last, stood, *old],
            self._not_all(stands),
            [self.now, stands, *kept],
            self.dtype,
            truths=[stands],
        )
        # they broadcast to the shapes that the first sweep makes
        return graph, [body.constant(np.zeros((1, 1), bool)), *[self._zero()] * len(self.made)]

    def _not_all(self, truths: str) -> str:
        return self.body.one("Not", self.body.one("ReduceMin", truths, keepdims=0))

    def _zero(self) -> str:
        return self.body.constant(np.zeros((1, 1), self.dtype))
