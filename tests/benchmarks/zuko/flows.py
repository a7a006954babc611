"""zuko's flows in runs of our own, so that data, noise, optimiser and stopping are shared."""

import math

import torch
import zuko  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor, nn

from models import zoo
from models.bijection import Compose
from models.distributions import Normal
from models.flow import Flow
from training.runs.run import Run


class ZukoFlow(Flow):
    """A zuko flow behind our fixed preprocessing: all of Flow that `fit` and scoring call."""

    def __init__(self, preprocessing: Compose, inner: nn.Module) -> None:
        super().__init__(Normal(preprocessing.latent_shape), preprocessing)
        self.inner = inner

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        assert context is None
        z, log_det = self.bijection.encode(x)
        total: Tensor = self.inner().log_prob(z) + log_det
        return total


def zuko_run(kind: str) -> type[Run]:
    """Runs that train zuko's flow of that kind with the recipe's depth and widths."""

    class ZukoRun(Run):
        def new_flow(self) -> Flow:
            torch.manual_seed(self.file.recipe.fit.seed)
            shape, options = self.flow_spec.event_shape, self.flow_spec.options
            fixed = [
                zoo.fixed_layer(shape, **step.model_dump()) for step in self.flow_spec.preprocessing
            ]
            assert options["activation"] == "relu"
            inner = getattr(zuko.flows, kind)(
                features=math.prod(shape),
                transforms=options["transforms"],
                hidden_features=tuple(options["hidden"]),
                activation=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(options["dropout"])),
            )
            return ZukoFlow(Compose(fixed), inner)

    return ZukoRun
