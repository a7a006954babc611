"""Gradient steps on a loss, and the average of the weights they lead to."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.density import Density
from models.flow import Flow
from models.networks import set_precision
from training.config import FitRecipe
from training.fit.compile import compile_layers
from training.fit.cuda_graph import CudaGraph
from training.fit.distributed import Processes
from training.fit.objective import Loss
from training.fit.precision import precision_on


class NonFiniteStepError(Exception):
    """A step that was not made, because its loss or gradient is not a number.

    Args:
        row_loss: loss of each row of the step, in nats.
        norm: norm of the gradient.
    """

    def __init__(self, row_loss: Tensor, norm: float) -> None:
        super().__init__(norm)
        self.row_loss, self.norm = row_loss, norm


class FlowOptimizer:
    """AdamW on the mean loss of batches, and a moving average of the weights.

    Args:
        flow: what is trained, on its device.
        loss: the loss of each row of a batch and its context.
        recipe: the [fit] section.
        count: number of steps of a whole training, over which a cosine schedule falls.
        processes: those that share each batch.
    """

    def __init__(
        self, flow: Density, loss: Loss, recipe: FitRecipe, count: int, processes: Processes
    ) -> None:
        self.flow, self.recipe, self.count, self.processes = flow, recipe, count, processes
        self.device = flow.like.device
        precision = precision_on(self.device, recipe.precision)
        set_precision(flow, precision)
        self.parameters = list(flow.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        # float16 has nothing below 6e-8: gradients are computed scaled up, and unscaled afterwards
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)
        self.average: list[Tensor] = []
        self.restart_average()
        if recipe.compile and isinstance(flow, Flow):
            compile_layers(flow.bijection)
        self.parallel = processes.averaging_gradients(loss)
        self.loss: Callable[..., Tensor] = self.parallel or loss
        if recipe.cuda_graph and self.device.type == "cuda" and self.parallel is None:
            self.loss = CudaGraph(loss)

    def restart_average(self) -> None:
        """Start the average at the present weights."""
        self.average = [value.clone() for value in self._values()] if self.recipe.average else []

    def step(self, x: Tensor, context: Tensor | None, rows: int, steps_done: int) -> float:
        """Make one step.

        Args:
            x: the rows of the batch that this process computes; there may be none.
            context: their contexts.
            rows: number of rows of the whole batch.
            steps_done: number of steps before this one.

        Returns:
            The sum of the whole batch's losses in nats.

        Raises:
            NonFiniteStepError: the loss or its gradient is not a number; no weight has changed.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(steps_done)
        self.optimizer.zero_grad()
        row_loss = self._gradients(x, context, rows)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        total = self.processes.all_reduce_sum(float(row_loss.sum()))
        # where only the scale made the gradients infinite, the step is skipped, the scale halved
        overscaled = self.scaler.get_scale() > 1 and math.isfinite(total)
        if not bool(torch.isfinite(norm)) and not overscaled:
            raise NonFiniteStepError(row_loss, float(norm))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            # an average of few steps decays faster, or it would hold the first weights for long
            kept = min(self.recipe.average, (1 + steps_done) / (10 + steps_done))
            torch._foreach_lerp_(self.average, self._values(), 1 - kept)
        return total

    def _gradients(self, x: Tensor, context: Tensor | None, rows: int) -> Tensor:
        """Accumulate the gradients over `accumulate` chunks of a batch; the loss of each row."""
        chunks = min(self.recipe.accumulate, max(1, len(x)))
        bounds = [len(x) * i // chunks for i in range(chunks + 1)]
        losses = []
        for first, last in pairwise(bounds):
            chunk = slice(first, last)
            row_loss = self.loss(x[chunk], *([] if context is None else [context[chunk]]))
            # gradients are averaged over the processes: times their number, the mean of the batch
            mean = row_loss.sum() * (self.processes.size / rows)
            # processes exchange gradients once, after the last chunk
            with self.parallel.no_sync() if self.parallel and last < len(x) else nullcontext():
                self.scaler.scale(mean).backward()  # type: ignore[no-untyped-call]
            losses.append(row_loss.detach())
        return torch.cat(losses)

    def learning_rate(self, steps_done: int) -> float:
        """The learning rate after so many steps: a linear warm-up, then constant or a cosine."""
        recipe = self.recipe
        rate = recipe.learning_rate * min(1.0, (steps_done + 1) / max(1, recipe.warm_up))
        if recipe.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, steps_done / self.count)))
        return rate

    @contextmanager
    def averaged(self) -> Iterator[Density]:
        """Inside this context the flow has the weights to score and save: their average."""
        if not self.average:
            yield self.flow
            return
        current = [value.clone() for value in self._values()]
        torch._foreach_copy_(self._values(), self.average)
        try:
            yield self.flow
        finally:
            torch._foreach_copy_(self._values(), current)

    def _values(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.parameters]

    def state_dict(self) -> dict[str, Tensor]:
        """What the next step depends on beside the flow (`runs.Stateful`)."""
        tensors = {
            f"{i}.{name}": value
            for i, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        return tensors | {f"average.{i}": value for i, value in enumerate(self.average)}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned (`runs.Stateful`)."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            i, name = key.split(".")
            if i == "average":
                self.average[int(name)].copy_(value)
            else:
                state.setdefault(int(i), {})[name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
