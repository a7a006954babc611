"""The two directions of a density over typed columns as ONNX files."""

import copy

import torch
from torch import Tensor, nn

from models.columns import TypedColumns
from models.numerics import fold, logistic_from_normal
from training.export.torch_export import trace
from training.export.typed.decoding import deferred_values, expand, groups_of


def encode_graph(density: TypedColumns) -> bytes:
    """An ONNX file: x, u, N × D, and context, if there is one → z, N × D; log_prob, N.

    All are float64: so is what a density computes of its columns, and x has values to 2^53.
    """
    module = _Encode(_folded(density))
    row = torch.full((3, *density.event_shape), 0.5, dtype=torch.float64)
    inputs = {"x": row, "u": row.clone(), **_context(density)}
    content: bytes = trace(module, inputs, ["z", "log_prob"]).SerializeToString()
    return content


def decode_graph(density: TypedColumns) -> bytes:
    """An ONNX file: z, N × D, and context, if there is one → x, N × D; log_prob, N; in float64.

    Each hidden unit of the network is computed once.
    """
    folded = _folded(density)
    row = torch.zeros(3, *density.event_shape, dtype=torch.float64)
    model = trace(_Decode(folded), {"z": row, **_context(density)}, ["x", "log_prob"])
    content: bytes = expand(model, folded).SerializeToString()
    return content


class _Encode(nn.Module):
    """Encoding as a module."""

    def __init__(self, density: TypedColumns) -> None:
        super().__init__()
        self.density = density

    def forward(self, x: Tensor, u: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.density.encode(x, context, u)


class _Decode(nn.Module):
    """Decoding as a module, in which the values are deferred; log_prob follows from them."""

    def __init__(self, density: TypedColumns) -> None:
        super().__init__()
        self.density = density

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        density, groups = self.density, groups_of(self.density)
        y = logistic_from_normal(z)[0]
        x, theta = deferred_values(density, y, density.context_features(context))
        parts = torch.split(theta, [len(group.index) * group.size for group in groups], 1)
        log_prob = [
            group.log_prob(x[:, group.columns], part.reshape(-1, len(group.index), group.size))
            for group, part in zip(groups, parts, strict=True)
        ]
        return x, torch.cat(log_prob, 1).sum(1)


def _folded(density: TypedColumns) -> TypedColumns:
    """A copy to export."""
    folded = copy.deepcopy(density).eval().requires_grad_(False)
    fold(folded)
    return folded


def _context(density: TypedColumns) -> dict[str, Tensor]:
    """An example of the context, if there is one."""
    if density.context_shape is None:
        return {}
    return {"context": torch.zeros(3, *density.context_shape, dtype=torch.float64)}
