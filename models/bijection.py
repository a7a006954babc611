"""The interface of every layer of a flow, and the two ways of combining layers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Cost = Literal["parallel", "iterative", "sequential"]
"""The cost of one direction: one pass, a bounded number of passes, or one step per dimension."""

_COSTS: tuple[Cost, ...] = ("parallel", "iterative", "sequential")


class Bijection(nn.Module, ABC):
    """An invertible map between data x and latents z, with its log-determinants.

    Subclasses implement `_encode` and `_decode`; callers use `encode` and `decode`, which check
    shapes once for every subclass.

    Args:
        event_shape: shape of one data row, without the batch dimension.
        latent_shape: shape of one latent row; `event_shape` if left out.
        context_shape: shape of the conditioning vector of one row, or None.

    Raises:
        ValueError: the two shapes hold different numbers of elements.
    """

    encode_cost: Cost = "parallel"
    decode_cost: Cost = "parallel"

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_shape: Sequence[int] | None = None,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape: Shape = tuple(event_shape)
        self.latent_shape: Shape = self.event_shape if latent_shape is None else tuple(latent_shape)
        self.context_shape: Shape | None = None if context_shape is None else tuple(context_shape)
        if math.prod(self.event_shape) != math.prod(self.latent_shape):
            raise ValueError(
                f"a bijection keeps the number of dimensions: event shape {self.event_shape} has "
                f"{math.prod(self.event_shape)}, latent shape {self.latent_shape} has "
                f"{math.prod(self.latent_shape)}"
            )

    @property
    def context_features(self) -> int:
        """Number of elements of one row's context; 0 where there is none."""
        return 0 if self.context_shape is None else math.prod(self.context_shape)

    @property
    def support(self) -> tuple[Tensor, Tensor] | None:
        """The open box (low, high) of accepted x, each of event shape; None where every x is."""
        return None

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents.

        Args:
            x: batch × event shape.
            context: batch × context shape, exactly when the bijection has one.

        Returns:
            z: batch × latent shape; log|det ∂z/∂x|: batch, in nats.

        Raises:
            ValueError: a shape is not the stated one; both are named.
        """
        self._check(x, self.event_shape, "x", context)
        return self._encode(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to data.

        Args:
            z: batch × latent shape.
            context: batch × context shape, exactly when the bijection has one.

        Returns:
            x: batch × event shape; log|det ∂x/∂z|: batch, in nats.

        Raises:
            ValueError: a shape is not the stated one; both are named.
        """
        self._check(z, self.latent_shape, "z", context)
        return self._decode(z, context)

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialize the parameters that depend on data, if there are any; once, before training.

        Args:
            x: batch × event shape: data as the layers before this one encode it.
            context: batch × context shape, exactly when the bijection has one.
        """

    @abstractmethod
    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]: ...

    def _check(self, value: Tensor, shape: Shape, name: str, context: Tensor | None) -> None:
        if value.shape[1:] != shape:
            raise ValueError(
                f"{type(self).__name__} expected {name} of shape (batch, {_inner(shape)}), "
                f"got {tuple(value.shape)}"
            )
        row_shape = None if context is None else tuple(context.shape[1:])
        if row_shape != self.context_shape:
            raise ValueError(
                f"{type(self).__name__} expected a context of row shape {self.context_shape}, "
                f"got {row_shape}"
            )


def _inner(shape: Shape) -> str:
    return ", ".join(map(str, shape))


class Compose(Bijection):
    """Bijections applied in order when encoding, in reverse order when decoding.

    Layers whose `context_shape` is None do not receive the context.

    Raises:
        ValueError: no layer, consecutive layers whose shapes differ, layers with different context
            shapes, or a layer with a bounded support after the first.
    """

    def __init__(self, layers: Sequence[Bijection]) -> None:
        if not layers:
            raise ValueError("Compose needs at least one bijection")
        for i, (before, after) in enumerate(pairwise(layers)):
            if before.latent_shape != after.event_shape:
                raise ValueError(
                    f"layer {i} encodes to rows of shape {before.latent_shape}, "
                    f"layer {i + 1} takes {after.event_shape}"
                )
            if after.support is not None:
                raise ValueError(f"layer {i + 1} has a bounded support: put it first")
        contexts = {layer.context_shape for layer in layers} - {None}
        if len(contexts) > 1:
            raise ValueError(f"layers take different contexts: {sorted(map(str, contexts))}")
        super().__init__(layers[0].event_shape, layers[-1].latent_shape, next(iter(contexts), None))
        self.layers = nn.ModuleList(layers)
        self.encode_cost = max((b.encode_cost for b in layers), key=_COSTS.index)
        self.decode_cost = max((b.decode_cost for b in layers), key=_COSTS.index)

    @property
    def support(self) -> tuple[Tensor, Tensor] | None:
        """The support of the first layer."""
        return self._layers()[0].support

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialize each layer from the data that the layers before it encode."""
        layers = self._layers()
        from_data = [
            i
            for i, layer in enumerate(layers)
            if type(layer).initialize_from_data is not Bijection.initialize_from_data
        ]
        # the layers after the last of them need no data, and encoding it may take minutes
        for layer in layers[: max(from_data, default=-1) + 1]:
            layer_context = context if layer.context_shape is not None else None
            layer.initialize_from_data(x, layer_context)
            x, _ = layer.encode(x, layer_context)

    def _layers(self) -> list[Bijection]:
        return [layer for layer in self.layers if isinstance(layer, Bijection)]

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for layer in self._layers():
            x, log_det = layer.encode(x, context if layer.context_shape is not None else None)
            total = log_det if total is None else total + log_det
        assert total is not None
        return x, total

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for layer in reversed(self._layers()):
            z, log_det = layer.decode(z, context if layer.context_shape is not None else None)
            total = log_det if total is None else total + log_det
        assert total is not None
        return z, total


class Inverted(Bijection):
    """The same bijection with its two directions, shapes and costs swapped.

    Raises:
        ValueError: the bijection has a bounded support, which would bound the latents.
    """

    def __init__(self, bijection: Bijection) -> None:
        if bijection.support is not None:
            raise ValueError(
                "a bijection of bounded support cannot be inverted: it bounds the latents"
            )
        super().__init__(bijection.latent_shape, bijection.event_shape, bijection.context_shape)
        self.bijection = bijection
        self.encode_cost, self.decode_cost = bijection.decode_cost, bijection.encode_cost

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.bijection.decode(x, context)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.bijection.encode(z, context)


def sum_event(values: Tensor) -> Tensor:
    """Sum all but the batch dimension: batch × event shape → batch, in float32 or float64."""
    dtype = values.dtype if values.dtype == torch.float64 else torch.float32
    return values.flatten(1).sum(1, dtype=dtype)
