"""Encoding of typed columns as ONNX nodes."""

import numpy as np
import torch
from onnx import helper

from models.columns import ColumnGroup, MaskedColumnNetwork, TypedColumns
from training.export.onnx_builder import Writer
from training.export.onnx_functions import OnnxFunction, OnnxFunctions
from training.export.typed.attention_network import AttentionNetworkWriter
from training.export.typed.functions import GroupFunctions, numbers_of, to_normal
from training.export.typed.masked_network import MaskedNetworkWriter
from training.export.typed.network import ColumnNetworkWriter


class DensityWriter:
    """Writes the computations of a density; strings are names of values.

    Args:
        writer: collects the nodes.
        density: the density, folded.
    """

    def __init__(self, writer: Writer, density: TypedColumns) -> None:
        self.writer, self.density = writer, density
        self.networks, self.exact = (
            OnnxFunctions(dtype) for dtype in (density.like.dtype, torch.float64)
        )
        is_masked = isinstance(density.network, MaskedColumnNetwork)
        network_writer = MaskedNetworkWriter if is_masked else AttentionNetworkWriter
        self.network: ColumnNetworkWriter = network_writer(writer, density, self.networks)
        self.groups = density.column_groups
        self.functions = [
            GroupFunctions(group, self.exact, density.tolerance) for group in self.groups
        ]
        self.numbers = [[*map(writer.tensor, numbers_of(g).values())] for g in self.groups]

    def encode(self, x: str, u: str, context: str | None) -> tuple[str, str]:
        """Write encoding: x, u, N × D → z, N × D, and log_prob, N."""
        write = self.writer
        parts, features = [], []
        for group, functions, numbers in zip(
            self.groups, self.functions, self.numbers, strict=True
        ):
            part = self._columns(x, group), self._columns(u, group)
            parts.append(part)
            values = write.call(functions.features, part[0], *numbers)[0]
            features.append(write.one("Flatten", values))
        theta = self._network(write.join(features), context)
        thetas = write.cut(theta, [len(group.index) * group.size for group in self.groups])
        logits, log_probs = [], []
        for i, (part, theta) in enumerate(zip(parts, thetas, strict=True)):
            group = self.groups[i]
            theta = write.one("Reshape", theta, write.integers(-1, len(group.index), group.size))
            y, log_prob = self.apart(i, self.functions[i].encode, *part, theta)
            logits.append(y)
            log_probs.append(log_prob)
        order = write.tensor(self.density.to_columns)
        z = write.call(
            to_normal(self.exact), write.one("Gather", write.join(logits), order, axis=1)
        )[0]
        log_prob = self.total(log_probs)
        none = write.constant(np.float64(-np.inf))
        inside = write.one("Greater", log_prob, none)
        inside = write.one("Unsqueeze", inside, write.integers(1))
        return write.one("Where", inside, z, write.constant(np.float64(np.nan))), log_prob

    def apart(self, i: int, function: OnnxFunction, *inputs: str) -> list[str]:
        """The outputs of a group's function, N × C each like the first input."""

        def call(write: Writer) -> list[str]:
            return write.call(function, *inputs, *self.numbers[i])

        return self.writer.apart(inputs[0], np.dtype(np.float64), call)

    def total(self, log_probs: list[str]) -> str:
        """The sums over columns."""
        write = self.writer
        return write.one("ReduceSum", write.join(log_probs), write.integers(1), keepdims=0)

    def cast(self, write: Writer, value: str, dtype: torch.dtype) -> str:
        """A value of the network in float64, or of columns in the network's number type."""
        if self.density.like.dtype == torch.float64:
            return value
        kind = helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype)
        return write.one("Cast", value, to=kind)

    def context_features(self, context: str | None) -> str | None:
        """The features of a context (`ContextFeatures`), in the network's number type."""
        if context is None:
            return None
        write, features = self.writer, self.density.features
        context = self.cast(write, context, self.density.like.dtype)
        if features is None:
            return context
        parts = []
        if len(features.number):
            numbers = write.one("Gather", context, write.tensor(features.number), axis=1)
            centered = write.one("Sub", numbers, write.tensor(features.mean))
            parts.append(write.one("Div", centered, write.tensor(features.scale)))
        if len(features.label):
            labels = write.one("Gather", context, write.tensor(features.label), axis=1)
            hits = write.one("Equal", labels, write.tensor(features.classes))
            kind = helper.np_dtype_to_tensor_dtype(features.classes.numpy().dtype)
            one_hot = write.one("Cast", hits, to=kind)
            if features.embedding is not None:
                weight = write.tensor(features.embedding.weight.T)
                one_hot = write.one("MatMul", one_hot, weight)
            parts.append(one_hot)
        return write.join(parts)

    def _columns(self, rows: str, group: ColumnGroup) -> str:
        """The columns of a group: N × C."""
        return self.writer.one("Gather", rows, self.writer.tensor(group.columns), axis=1)

    def _network(self, features: str, context: str | None) -> str:
        """The network: features of the columns → theta, both in the order of the groups."""
        write = self.writer
        features = self.cast(write, features, self.density.like.dtype)
        theta = self.network.parameters(features, self.context_features(context))
        return self.cast(write, theta, torch.float64)
