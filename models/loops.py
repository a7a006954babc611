"""Loops that run as Python in torch and as one operator in an exported graph."""

from collections.abc import Callable

import torch
from torch import Tensor

try:
    from torch._higher_order_ops.scan import scan
except ImportError:  # a private name: without it the loop is exported unrolled, which is exact too
    scan = None  # type: ignore[assignment]


def loop(step: Callable[[Tensor, Tensor], Tensor], state: Tensor, rows: Tensor) -> Tensor:
    """Fold `state = step(state, row)` over the rows; under export this is one ONNX Scan."""
    if scan is not None and torch.compiler.is_exporting():
        # Scan wants an output for each row: an empty one costs nothing
        final, _ = scan(lambda s, row: (step(s, row), row[:0].clone()), state, rows)
        assert isinstance(final, Tensor)
        return final
    for row in rows:
        state = step(state, row)
    return state
