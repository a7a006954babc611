"""Losses whose kernels are recorded and replayed as CUDA graphs."""

import copy

from torch import Tensor
from torch.cuda import make_graphed_callables

from training.fit.objective import Loss


class CudaGraph:
    """A loss whose kernels, and its gradients', are recorded for batches of the first one's size.

    They are then replayed by one call each way (CUDA graphs): of a flow of many layers on a large
    GPU, the launches one by one take several times as long as the kernels. Each of the loss's
    phases is recorded when it begins.
    """

    def __init__(self, loss: Loss) -> None:
        self.eager, self.recorded = loss, loss
        self.rows, self.phase = 0, loss.phase

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The loss of each row: replayed, or computed where the batch is of another size."""
        self.rows = self.rows or len(inputs[0])
        if len(inputs[0]) != self.rows:  # the last batch of an epoch may be smaller
            smaller: Tensor = self.eager(*inputs)
            return smaller
        if self.recorded is self.eager or self.phase != self.eager.phase:
            self.phase = self.eager.phase
            # recording replaces the copy's forward; the weights are the same
            self.recorded = copy.copy(self.eager)
            examples = tuple(values.clone() for values in inputs)
            make_graphed_callables(self.recorded, examples, allow_unused_input=True)
        loss: Tensor = self.recorded(*inputs)
        return loss
