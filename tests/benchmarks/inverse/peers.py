"""The masked autoregressive flows of zuko, nflows and normflows, of the same architecture as ours.

Affine conditionals, two hidden layers of one width with ReLU, the order reversed from layer to
layer; no residual blocks, batch normalization, dropout or random masks. What is left of their
differences is each library's own: how it bounds a scale, and that normflows has no activation
between the two hidden layers where residual blocks are off, which saves it a ReLU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import nflows.transforms  # type: ignore[import-not-found,import-untyped,unused-ignore]
import normflows  # type: ignore[import-not-found,import-untyped,unused-ignore]
import torch
import zuko  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor, nn

# both count the hidden layers after the first
BLOCKS = {"num_blocks": 1, "use_residual_blocks": False, "random_mask": False}


@dataclass(frozen=True)
class Peer:
    """Another library's flow.

    Args:
        module: what holds its parameters.
        invert: its sequential direction: batch × D → whatever the library gives.
    """

    module: nn.Module
    invert: Callable[[Tensor], object]


def peers(features: int, hidden: int, layers: int) -> dict[str, Peer]:
    """Each library's flow by the library's name, on the CPU in evaluation mode.

    zuko and nflows are sequential in sampling, and are given the noise; normflows is so in
    density. zuko computes no log-determinant there, the others do, as ours does.
    """
    return {
        "zuko": _zuko(features, hidden, layers),
        "nflows": _nflows(features, hidden, layers),
        "normflows": _normflows(features, hidden, layers),
    }


def _zuko(features: int, hidden: int, layers: int) -> Peer:
    flow = zuko.flows.MAF(features, transforms=layers, hidden_features=(hidden, hidden)).eval()
    return Peer(flow, lambda z: flow().transform.inv(z))


def _nflows(features: int, hidden: int, layers: int) -> Peer:
    made = nflows.transforms
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts.append(made.MaskedAffineAutoregressiveTransform(features, hidden, **BLOCKS))
        parts.append(made.ReversePermutation(features))
    transform = made.CompositeTransform(parts).eval()
    return Peer(transform, transform.inverse)


def _normflows(features: int, hidden: int, layers: int) -> Peer:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts.append(normflows.flows.MaskedAffineAutoregressive(features, hidden, **BLOCKS))
        reverse = normflows.flows.Permute(features)
        for permutation in (reverse.perm, reverse.inv_perm):
            permutation.copy_(torch.arange(features).flip(0))
        parts.append(reverse)
    base = normflows.distributions.DiagGaussian(features, trainable=False)
    flow = normflows.NormalizingFlow(base, parts).eval()
    return Peer(flow, flow.log_prob)
