"""Losses whose kernels are captured once as a CUDA graph and then replayed."""

import copy

from torch import Tensor
from torch.cuda import make_graphed_callables

from training.fit.objective import Loss


class CudaGraph:
    """A loss that is captured, with its gradients, for batches of the size of the first one.

    A replay is one call in each direction: for a flow of many layers on a large GPU, launching
    the kernels one by one takes several times as long as they run. Each phase of the loss is
    captured when it begins.
    """

    def __init__(self, loss: Loss) -> None:
        self.eager, self.captured = loss, loss
        self.rows, self.phase = 0, loss.phase

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of each row: replayed, or computed where the batch has another size."""
        self.rows = self.rows or len(inputs[0])
        if len(inputs[0]) != self.rows:  # the last batch of an epoch may be smaller
            eager_loss: Tensor = self.eager(*inputs)
            return eager_loss
        if self.captured is self.eager or self.phase != self.eager.phase:
            self.phase = self.eager.phase
            # capturing replaces the forward method of the copy, which shares its weights
            self.captured = copy.copy(self.eager)
            examples = tuple(values.clone() for values in inputs)
            make_graphed_callables(self.captured, examples, allow_unused_input=True)
        loss: Tensor = self.captured(*inputs)
        return loss
