"""Nearest rows in the latents of flows that were trained with noise, as a part of a score."""

import math

import torch
from torch import Tensor, nn

from models import zoo
from models.flow import Flow
from training.config import FitRecipe
from training.detectors.parts.members import Fitted, all_but_folds, with_context
from training.detectors.parts.neighbourhoods import mean_log_nearest
from training.detectors.parts.principal import Principal, directions_of
from training.detectors.specification import LatentPart
from training.fit import NoiseLevels, fit_noise_conditional

LEVELS = NoiseLevels()

WARM_UP = 50


class LatentRows(nn.Module):
    """Mean log distance to the nearest training rows in the latents of each member's flow.

    Args:
        part: its options, with the number of rows of each member.
        features, context: numbers of features of a row and of its context.
    """

    rows: Tensor

    def __init__(self, part: LatentPart, features: int, context: int) -> None:
        super().__init__()
        self.part = part
        self.view = Principal(features, part.members, part.directions)
        size = self.view.size
        self.flows = nn.ModuleList(
            zoo.build("maf", (size,), context_shape=(1 + context,), options=part.options)
            for _ in range(part.members)
        )
        # the noise at which rows are encoded
        self.condition = float(LEVELS.condition(torch.tensor(math.log(part.deviation))))
        shape = part.members, part.rows, size + context
        self.register_buffer("rows", torch.zeros(shape, dtype=torch.float64))

    def encode(self, i: int, features: Tensor, context: Tensor | None) -> Tensor:
        """Latents of rows by the flow of member i: N × latents."""
        x = self.view(i, features)
        known = with_context(torch.full_like(x[:, :1], self.condition), context)
        return with_context(self.members[i].encode(x, known)[0], context)

    @property
    def members(self) -> list[Flow]:
        """The flow of each member."""
        return [flow for flow in self.flows if isinstance(flow, Flow)]

    def forward(self, features: Tensor, context: Tensor | None) -> Tensor:
        """Scores of each member: N × members."""
        scores = [
            mean_log_nearest(self.encode(i, features, context), rows, self.part.neighbours)
            for i, rows in enumerate(self.rows)
        ]
        return torch.stack(scores, 1)


def fit_latents(
    part: LatentPart,
    features: Tensor,
    context: Tensor | None,
    groups: Tensor,
    generator: torch.Generator,
) -> Fitted[LatentPart]:
    """Train the flow of each member on all rows but a fold, and encode these.

    Args:
        part: its options.
        features: of the training rows, N × F.
        context: features of their contexts, N × C, or None.
        groups: of equal rows, see `members.groups_of`.
        generator: of random numbers.
    """
    seen = all_but_folds(groups, part.members, generator)
    fewest = min(map(len, seen))
    count, steps = min(part.rows, fewest), part.steps_of(fewest)
    directions = directions_of(fewest, part.directions)
    fitted = part.model_copy(
        update={"rows": count, "steps": steps, "epochs": 0.0, "directions": directions}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        module = LatentRows(fitted, features.shape[1], 0 if context is None else context.shape[1])
    for i, rows in enumerate(seen):
        module.view.fit(i, features[rows])
        with torch.no_grad():
            x = module.view(i, features[rows]).float()
        recipe = FitRecipe(
            batch_size=part.batch_size,
            learning_rate=part.learning_rate,
            warm_up=WARM_UP,
            schedule="cosine",
            seed=int(torch.randint(2**31, (1,), generator=generator)),
        )
        of_member = None if context is None else context[rows].float()
        fit_noise_conditional(module.members[i], x, of_member, LEVELS, recipe, steps)
    module.double().eval().requires_grad_(False)
    for i, rows in enumerate(seen):
        kept = rows[:count]
        of_kept = None if context is None else context[kept]
        module.rows[i] = module.encode(i, features[kept], of_kept)
    return Fitted(fitted, module, seen)
