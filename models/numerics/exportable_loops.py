"""Loops that run as Python in torch and as one operator in an exported graph."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

try:
    from torch._higher_order_ops.scan import scan
    from torch._higher_order_ops.while_loop import while_loop
except ImportError:  # private names: without them loops are exported unrolled, which is exact too
    scan = while_loop = None  # type: ignore[assignment]

Tensors = Sequence[Tensor]
ScanStep = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]


def scan_loop(step: ScanStep, states: Tensors, rows: Tensors) -> tuple[list[Tensor], list[Tensor]]:
    """Fold `states, outputs = step(states, row of each)`; under export this is one ONNX Scan.

    Args:
        step: the states and a row of each of `rows` → new states and outputs. It may loop itself.
        states: where to start.
        rows: tensors whose rows the steps take one after another.

    Returns:
        The last states, and each output of all steps, stacked.
    """
    if scan is not None and torch.compiler.is_exporting():

        def once(states: Tensors, rows: Tensors) -> tuple[list[Tensor], list[Tensor]]:
            states, outputs = step(states, rows)
            # Scan wants an output for each row: an empty one costs nothing
            return _fresh(states), _fresh(outputs or [rows[0][:0]])

        final, stacked = scan(once, _fresh(states), list(rows))
        return list(final), list(stacked)
    collected = []
    for row in zip(*rows, strict=True):
        states, outputs = step(states, row)
        collected.append(outputs)
    return list(states), [torch.stack(output) for output in zip(*collected, strict=True)]


def _fresh(tensors: Tensors) -> list[Tensor]:
    """Copies, of which an exported graph has none: the exporter refuses parts of other tensors."""
    return [tensor.clone() for tensor in tensors]


def fixed_point(
    step: Callable[[Tensor], Tensor], state: Tensor, tolerance: float, most: int
) -> Tensor:
    """Repeat `state = step(state)` until it stands still; under export this is one ONNX Loop.

    Args:
        step: the map whose fixed point is looked for.
        state: where to start, a fresh tensor that `step` does not read otherwise.
        tolerance: stop when no element changes by more than tolerance · max(1, |element|).
        most: stop after so many steps in any case; the caller checks what it got.
    """

    def moving(state: Tensor, before: Tensor) -> Tensor:
        # an element that is no longer a number has stopped: comparisons with NaN are false
        return ((state - before).abs() > tolerance * before.abs().clamp(min=1)).any()

    def unfinished(i: Tensor, now: Tensor, before: Tensor) -> Tensor:
        return (i < most) & ((i == 0) | moving(now, before))

    def once_more(i: Tensor, now: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return i + 1, step(now), now.clone()

    if while_loop is not None and torch.compiler.is_exporting():
        count = torch.zeros((), dtype=torch.int64, device=state.device)
        carried = (count, state, torch.zeros_like(state))
        final: Tensor = while_loop(unfinished, once_more, carried)[1]  # type: ignore[no-untyped-call]
        return final
    for _ in range(most):
        before, state = state, step(state)
        if not torch.compiler.is_exporting() and not moving(state, before):
            break
    return state
