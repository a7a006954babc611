"""Gradient steps on a loss, and the average of the weights they lead to."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.flow import Flow
from models.networks import set_precision
from training.config import FitRecipe
from training.fit.compile import compile_layers
from training.fit.cuda_graph import CudaGraph
from training.fit.distributed import Team
from training.fit.objective import Loss

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class NonFiniteStepError(Exception):
    """A step that was not made, as its loss or gradient is not a number.

    Args:
        row_loss: of the rows of the step, in nats.
        norm: of the gradient.
    """

    def __init__(self, row_loss: Tensor, norm: float) -> None:
        super().__init__(norm)
        self.row_loss, self.norm = row_loss, norm


class Steps:
    """AdamW on the mean loss of batches.

    Args:
        flow: what is trained, on its device.
        loss: its loss for a batch and its context, for each row.
        recipe: how.
        count: steps of a whole training, over which a cosine falls.
        team: the processes that share each batch.
    """

    def __init__(self, flow: Flow, loss: Loss, recipe: FitRecipe, count: int, team: Team) -> None:
        set_precision(flow, PRECISIONS[recipe.precision])
        self.flow, self.recipe, self.count, self.team = flow, recipe, count, team
        self.device = flow.like.device
        self.parameters = list(flow.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        # the gradients of float16 end at 6e-8: they are computed larger, and made small again after
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.average: list[Tensor] = []
        self.restart_average()
        if recipe.compile:
            compile_layers(flow.bijection)
        self.parallel = nn.parallel.DistributedDataParallel(loss) if team.size > 1 else None
        self.loss: Callable[..., Tensor] = self.parallel or loss
        if recipe.record and self.device.type == "cuda" and self.parallel is None:
            self.loss = CudaGraph(loss)

    def restart_average(self) -> None:
        """Let the average begin at the present weights."""
        self.average = [value.clone() for value in self._values()] if self.recipe.average else []

    def step(self, x: Tensor, context: Tensor | None, rows: int, done: int) -> float:
        """Make one step.

        Args:
            x: this process's rows of the batch, of which there may be none.
            context: theirs.
            rows: of the whole batch.
            done: steps before this one.

        Returns:
            The sum of the whole batch's losses in nats.

        Raises:
            NonFiniteStepError: the loss or its gradient is not a number; no weight has changed.
        """
        rate = self.rate(done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        row_loss = self._gradients(x, context, rows)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        total = self.team.total(float(row_loss.sum()))
        # gradients that only their scale made infinite cost a step, and the scale is halved
        too_large = self.scaler.get_scale() > 1 and math.isfinite(total)
        if not bool(torch.isfinite(norm)) and not too_large:
            raise NonFiniteStepError(row_loss, float(norm))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            # young averages follow quickly, or the first weights would stay in them for long
            kept = min(self.recipe.average, (1 + done) / (10 + done))
            torch._foreach_lerp_(self.average, self._values(), 1 - kept)
        return total

    def _gradients(self, x: Tensor, context: Tensor | None, rows: int) -> Tensor:
        """Add up the gradients of the parts of a batch; the loss of each row."""
        parts = min(self.recipe.accumulate, max(1, len(x)))
        bounds = [len(x) * i // parts for i in range(parts + 1)]
        losses = []
        for first, last in pairwise(bounds):
            part = slice(first, last)
            row_loss = self.loss(x[part], *([] if context is None else [context[part]]))
            # the team's gradients are averaged, and so are its shares of the batch's mean
            mean = row_loss.sum() * (self.team.size / rows)
            # they talk once for all parts
            with self.parallel.no_sync() if self.parallel and last < len(x) else nullcontext():
                self.scaler.scale(mean).backward()  # type: ignore[no-untyped-call]
            losses.append(row_loss.detach())
        return torch.cat(losses)

    def rate(self, done: int) -> float:
        """The learning rate after so many steps: it rises to its height, and may fall to zero."""
        recipe = self.recipe
        rate = recipe.learning_rate * min(1.0, (done + 1) / max(1, recipe.warm_up))
        if recipe.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, done / self.count)))
        return rate

    @contextmanager
    def averaged(self) -> Iterator[Flow]:
        """The flow with the weights to be scored and kept, for the time being."""
        if not self.average:
            yield self.flow
            return
        now = [value.clone() for value in self._values()]
        torch._foreach_copy_(self._values(), self.average)
        try:
            yield self.flow
        finally:
            torch._foreach_copy_(self._values(), now)

    def _values(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.parameters]

    def state_dict(self) -> dict[str, Tensor]:
        """What the next step depends on beside the flow (`checkpoint.Stateful`)."""
        tensors = {
            f"{i}.{name}": value
            for i, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        return tensors | {f"average.{i}": value for i, value in enumerate(self.average)}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave (`checkpoint.Stateful`)."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            i, name = key.split(".")
            if i == "average":
                self.average[int(name)].copy_(value)
            else:
                state.setdefault(int(i), {})[name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
