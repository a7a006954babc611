"""Sampling from an autoregressive flow as other libraries do: by a pass for each coordinate."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bijection import Bijection
from models.flow import Flow
from models.layers import Autoregressive
from tests.benchmarks.inverse.graph import open_graph
from training.distill.layer_matching import layers_of
from training.export.recorded import Axes, onnx_model, recorded

Rows = NDArray[np.float32]


class ByPasses:
    """A flow that is inverted by D passes through each autoregressive layer, in onnxruntime."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.steps = [self._step(layer) for layer in reversed(layers_of(flow))]

    def decode(self, z: Rows, timed: int = 1, context: Rows | None = None) -> Rows:
        """Latents to rows, batch × D both, by one in `timed` of the passes.

        All of them make the rows; fewer are for timing, without what is between the layers.
        """
        for step in self.steps:
            z = step(z, timed, context)
        return z

    def _step(self, layer: Bijection) -> Callable[[Rows, int, Rows | None], Rows]:
        if not isinstance(layer, Autoregressive):

            def between(z: Rows, timed: int, _: Rows | None) -> Rows:
                return z if timed > 1 else layer.decode(torch.from_numpy(z), None)[0].numpy()

            return between
        n = math.prod(layer.event_shape)
        inputs: dict[str, Axes] = dict.fromkeys(("z", "x"), ("batch", n))
        if self.flow.context_shape is not None:
            inputs["context"] = ("batch", *self.flow.context_shape)

        def one_pass(z: Tensor, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            """Each coordinate decoded given what is known of those before it."""
            return layer.univariate.decode(z, layer.theta(x, self.flow.featurize(context)))

        graph = recorded(one_pass, inputs, ("x_next", "log_det"), torch.float32)
        session = open_graph(onnx_model(graph).SerializeToString(), "cpu")

        def invert(z: Rows, timed: int, context: Rows | None) -> Rows:
            feeds = {"z": z} | ({} if context is None else {"context": context})
            x = np.zeros_like(z)
            for _ in range(n // timed):
                x = session.run(["x_next"], feeds | {"x": x})[0]
            return x

        return invert
