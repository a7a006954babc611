"""The distance to the nearest row of samples, as a part of a score."""

import torch
from torch import Tensor, nn

from training.detectors.parts.members import Fitted, halves, with_context
from training.detectors.parts.neighbourhoods import log_nearest
from training.detectors.specification import NearestPart


class NearestRows(nn.Module):
    """log distance to the nearest row of each sample.

    Args:
        part: its options, with the number of rows of a sample.
        features, context: numbers of features of a row and of its context.
    """

    rows: Tensor

    def __init__(self, part: NearestPart, features: int, context: int) -> None:
        super().__init__()
        shape = part.members, part.rows, features + context
        self.register_buffer("rows", torch.zeros(shape, dtype=torch.float64))

    def forward(self, features: Tensor, context: Tensor | None) -> Tensor:
        """Scores of each member: N × members."""
        return log_nearest(with_context(features, context), self.rows)


def fit_nearest(
    part: NearestPart,
    features: Tensor,
    context: Tensor | None,
    groups: Tensor,
    generator: torch.Generator,
) -> Fitted[NearestPart]:
    """Draw the samples; arguments as of `latents.fit_latents`."""
    drawn = halves(groups, part.members, generator)
    count = min(part.rows, *map(len, drawn))
    seen = [half[:count] for half in drawn]
    fitted = part.model_copy(update={"rows": count})
    module = NearestRows(fitted, features.shape[1], 0 if context is None else context.shape[1])
    module.rows.copy_(with_context(features, context)[torch.stack(seen)])
    return Fitted(fitted, module, seen)
