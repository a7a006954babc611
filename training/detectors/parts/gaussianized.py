"""−log p of iterative Gaussianization of rows with noise, as a part of a score."""

import torch
from torch import Tensor, nn

from models import zoo
from models.flow import Flow
from training.detectors.parts.members import Fitted, halves
from training.detectors.parts.principal import Principal, directions_of
from training.detectors.specification import GaussianizedPart
from training.fit import gaussianize_rows

ROTATION = "random"

# Each member is fitted to copies of its rows, until there are so many, at most so often.
MIN_NOISY_ROWS, MAX_COPIES = 3000, 20


class Gaussianized(nn.Module):
    """−log p of rows by the flow of each member.

    Args:
        part: its options.
        features, context: numbers of features of a row and of its context.
    """

    def __init__(self, part: GaussianizedPart, features: int, context: int) -> None:
        super().__init__()
        self.view = Principal(features, part.members, part.directions)
        options = {"knots": part.knots, "rotation": ROTATION, "transforms": part.steps}
        self.flows = nn.ModuleList(
            zoo.build(
                "iterative-gaussianization",
                (self.view.size,),
                context_shape=(context,) if context else None,
                options=options,
            ).double()
            for _ in range(part.members)
        )

    @property
    def members(self) -> list[Flow]:
        """The flow of each member."""
        return [flow for flow in self.flows if isinstance(flow, Flow)]

    def forward(self, features: Tensor, context: Tensor | None) -> Tensor:
        """Scores of each member: N × members."""
        scores = [
            -flow.log_prob(self.view(i, features), context) for i, flow in enumerate(self.members)
        ]
        return torch.stack(scores, 1)


def fit_gaussianized(
    part: GaussianizedPart,
    features: Tensor,
    context: Tensor | None,
    groups: Tensor,
    generator: torch.Generator,
) -> Fitted[GaussianizedPart]:
    """Fit the flow of each member to noisy copies of a half of the rows.

    Arguments as of `latents.fit_latents`.
    """
    seen = [half[: part.rows] for half in halves(groups, part.members, generator)]
    directions = directions_of(min(map(len, seen)), part.directions)
    fitted = part.model_copy(update={"directions": directions})
    module = Gaussianized(fitted, features.shape[1], 0 if context is None else context.shape[1])
    for i, (flow, rows) in enumerate(zip(module.members, seen, strict=True)):
        module.view.fit(i, features[rows])
        copies = min(MAX_COPIES, -(-MIN_NOISY_ROWS // len(rows)))
        x = module.view(i, features[rows]).repeat(copies, 1)
        x = x + part.deviation * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        of_rows = None if context is None else context[rows].repeat(copies, 1)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        gaussianize_rows(flow, x, of_rows, part.steps, ROTATION, seed)
    return Fitted(fitted, module.eval(), seen)
