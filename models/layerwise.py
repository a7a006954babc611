"""A flow layer by layer: the points between its layers, and their densities."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.bijection import Bijection, Compose
from models.flow import Flow


def layers_of(bijection: Bijection) -> list[Bijection]:
    """The layers of a bijection in the order of encoding, those of chains within it too."""
    if not isinstance(bijection, Compose):
        return [bijection]
    return [inner for layer in bijection.layers for inner in layers_of(layer)]  # type: ignore[arg-type]


def layer_name(layer: Bijection) -> str:
    """The name of a layer's class in words; of an inverted layer what it inverts."""
    inner = getattr(layer, "bijection", None)
    if isinstance(inner, Bijection):
        return f"inverse of {layer_name(inner)}"
    name = type(layer).__name__
    words = "".join(
        f" {c.lower()}" if c.isupper() and i and not name[i - 1].isupper() else c
        for i, c in enumerate(name)
    )
    return words if name.isupper() else words[0].lower() + words[1:]


def through_layers(
    flow: Flow, points: Tensor, context: Tensor | None = None, *, decodes: bool
) -> Iterator[tuple[Bijection, Tensor, Tensor]]:
    """Each layer in turn, what it makes of points, and its log-determinant.

    Args:
        flow: the flow.
        points: latents, batch × latent shape, to decode; else rows, batch × event shape.
        context: batch × context shape, exactly when the flow has one.
        decodes: from latents to data, through the layers in the reverse order.
    """
    features = flow.featurize(context)
    layers = layers_of(flow.bijection)
    for layer in reversed(layers) if decodes else layers:
        go = layer.decode if decodes else layer.encode
        points, log_det = go(points, None if layer.context_shape is None else features)
        yield layer, points, log_det


def decode_by_layers(flow: Flow, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The states of latents on their way to the data, and the density of each.

    Args:
        flow: of D dimensions and L layers.
        z: batch × latent shape.
        context: batch × context shape, exactly when the flow has one.

    Returns:
        states: batch × (L + 1) × D, flat in row-major order: the latents, then what each layer
        makes of them, rows of data last; log_probs: batch × (L + 1), in nats: of each state under
        the density that the base becomes by the layers so far, log p(x) last.
    """
    states, log_probs = [z.flatten(1)], [flow.base.log_prob(z)]
    for _, points, log_det in through_layers(flow, z, context, decodes=True):
        states.append(points.flatten(1))
        log_probs.append(log_probs[-1] - log_det)
    return torch.stack(states, 1), torch.stack(log_probs, 1)
