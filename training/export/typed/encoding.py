"""Encoding of typed columns as ONNX nodes."""

import numpy as np
import torch
from onnx import helper
from torch import Tensor

from models.columns import ColumnGroup, TypedColumns
from training.export.masked import NetworkWriter
from training.export.onnx_builder import Writer
from training.export.onnx_functions import OnnxFunction, OnnxFunctions
from training.export.typed.functions import GroupFunctions, numbers_of, to_normal


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
        self.network = NetworkWriter(writer, density.network, self.networks)
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

    def context_features(self, context: str) -> str:
        """The features of a context (`ContextFeatures`), in the network's number type."""
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
        weights, biases = self._weights()
        units = self.cast(write, features, self.density.like.dtype)
        if context is not None:
            units = write.join([self.context_features(context), units])
        before: str | None = None
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            units = write.one("Gemm", units, write.tensor(weight), write.tensor(bias), transB=1)
            if i + 1 < len(weights):
                units = before = self.network.units(write, units, before)
        return self.cast(write, units, torch.float64)

    def _weights(self) -> tuple[list[Tensor], list[Tensor]]:
        """The layers' weights, outputs × inputs, and biases, with columns in groups' order."""
        density, network = self.density, self.density.network
        linears = network.masked_linears()
        weights = [linear.masked_weight() for linear in linears]
        biases: list[Tensor] = [linear.bias for linear in linears]
        context = torch.arange(network.context)
        grouped = density.inputs_to_columns.argsort() + network.context
        weights[0] = weights[0][:, torch.cat([context, grouped])]
        weights[-1] = weights[-1][density.parameters_to_groups]
        biases[-1] = biases[-1][density.parameters_to_groups]
        return weights, biases
