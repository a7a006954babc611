"""A causal transformer over typed columns as ONNX nodes, with cached keys and values."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from models.columns import AttentionColumnNetwork, TypedColumns
from training.export.onnx_builder import Writer
from training.export.onnx_functions import OnnxFunction, OnnxFunctions
from training.export.recorded import Axes
from training.export.typed.network import ColumnNetworkWriter


class AttentionNetworkWriter(ColumnNetworkWriter):
    """Writes a transformer; its states are the features of the column before, and the caches.

    Args:
        writer: collects the nodes.
        density: whose network it is.
        functions: those of the model, in the network's number type.
    """

    def __init__(self, writer: Writer, density: TypedColumns, functions: OnnxFunctions) -> None:
        assert isinstance(density.network, AttentionColumnNetwork)
        self.writer, self.density, self.network = writer, density, density.network
        self.functions = functions
        self.weights = dict(self.network.named_parameters())
        layout, transformer = self.network.layout, self.network.transformer
        self.inputs, self.sizes = (
            [of[column] for column in layout.order] for of in (layout.inputs, layout.sizes)
        )
        cache = (
            transformer.heads,
            transformer.tokens + bool(layout.context),
            transformer.width // transformer.heads,
        )
        self.shapes = [(max(self.inputs),), *[cache] * (2 * len(transformer.blocks))]

    def parameters(self, features: str, context: str | None) -> str:
        """Write one pass of the transformer."""

        def run(features: Tensor, context: Tensor | None = None) -> Tensor:
            inputs = features.index_select(1, self.density.inputs_to_columns)
            theta: Tensor = self.network(inputs, context)
            return theta.index_select(1, self.density.parameters_to_groups)

        inputs: dict[str, Axes] = {"features": ("batch", sum(self.inputs))}
        inputs |= self._context_axes()
        function = self.functions.of_model(run, inputs, ["theta"], self.weights)
        return self.writer.call(function, features, *([] if context is None else [context]))[0]

    def first_states(self, rows: str, context: str | None) -> list[str]:
        """Write the states before the first column: no features, and caches."""

        def start(rows: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
            features = rows.new_zeros(len(rows), max(self.inputs))
            return features, *self.network.start(rows, context)

        inputs: dict[str, Axes] = {"rows": ("batch", len(self.inputs))}
        inputs |= self._context_axes()
        names = [f"first_{i}" for i in range(len(self.shapes))]
        function = self.functions.of_model(start, inputs, names, self.weights)
        return self.writer.call(function, rows, *([] if context is None else [context]))

    def rows(self) -> list[NDArray[Any]]:
        """The position and the mask of each token, and the places of the weights that are its own.

        These are places among the tables of `before_value`, whose first row is of zeros.
        """
        read = [0, *self.inputs[:-1]]  # the first token reads no column
        embed = torch.split(torch.arange(1, 1 + sum(read)), read)
        heads = torch.split(torch.arange(sum(self.sizes)), self.sizes)
        places = [pad_sequence(list(runs), batch_first=True) for runs in (embed, heads)]
        places[0] = F.pad(places[0], (0, max(self.inputs) - places[0].shape[1]))
        tensors = self.network.transformer.position, self.network.masks, *places
        return [tensor.detach().numpy() for tensor in tensors]

    def before_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str]
    ) -> tuple[str, list[str]]:
        """Write a step of the transformer between the maps of the two columns."""
        (features, *caches), (position, mask, read, written) = states, rows
        network, width = self.network, self.network.transformer.width
        columns = range(len(self.inputs))
        embed = [network.embed.weight(token) for token in columns[:-1]]
        table = body.tensor(torch.cat([network.masks.new_zeros(1, width), *embed]))
        weight = body.one("Gather", table, read, axis=0)
        token = body.one("Add", body.one("MatMul", features, weight), position)
        output, *caches = body.call(self._step(), token, mask, *caches)
        table = body.tensor(torch.cat([network.heads.weight(token) for token in columns], 1))
        weight = body.one("Gather", table, written, axis=1)
        assert network.heads.bias is not None
        bias = body.one("Gather", body.tensor(network.heads.bias), written, axis=0)
        theta = body.one("Add", body.one("MatMul", output, weight), bias)
        return theta, [features, *caches]

    def after_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str], features: str
    ) -> list[str]:
        """The features stand in place of those of the column before."""
        return [features, *states[1:]]

    def _step(self) -> OnnxFunction:
        """A token, N × width, its mask and the caches → features, N × width, and the caches."""

        def step(token: Tensor, mask: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
            features, after = self.network.step(token, mask, caches)
            return features, *after

        caches = [f"cache_{i}" for i in range(len(self.shapes) - 1)]
        inputs: dict[str, Axes] = {
            "token": ("batch", self.network.transformer.width),
            "mask": self.network.masks.shape[1:],
            **dict.fromkeys(caches, ("batch", *self.shapes[-1])),
        }
        outputs = ["read", *(f"next_{name}" for name in caches)]
        return self.functions.of_model(step, inputs, outputs, self.weights)

    def _context_axes(self) -> dict[str, Axes]:
        """The features of a context, if there is one, as an input of a function."""
        size = self.network.layout.context
        return {"context": ("batch", size)} if size else {}
