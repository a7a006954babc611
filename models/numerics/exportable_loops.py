"""Loops that run as Python in torch and are one operator in an exported graph."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor

try:
    from torch._higher_order_ops.scan import scan
    from torch._higher_order_ops.while_loop import while_loop
except ImportError:  # private names: without them loops are exported unrolled, with equal results
    scan = while_loop = None  # type: ignore[assignment]

Tensors = Sequence[Tensor]
ScanStep = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]

LoopRecorder = Callable[
    [Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor], Tensor, int], Tensor
]
"""A step, whether a state still moves after the one before, the initial state and the largest
number of steps → a tensor that stands for the last state."""

LOOP_RECORDER: ContextVar[LoopRecorder | None] = ContextVar("loop_recorder", default=None)
"""What takes the loops of `fixed_point` while operators are recorded; None if none are."""


def scan_loop(step: ScanStep, states: Tensors, rows: Tensors) -> tuple[list[Tensor], list[Tensor]]:
    """Repeat `states, outputs = step(states, row)` over rows; in an exported graph, one ONNX Scan.

    Args:
        step: the states and one row of each of `rows` → new states and outputs. It may contain
            another loop.
        states: the initial states.
        rows: tensors whose rows the steps read one after another.

    Returns:
        The last states, and each output stacked over all steps.
    """
    if scan is not None and torch.compiler.is_exporting():

        def once(states: Tensors, rows: Tensors) -> tuple[list[Tensor], list[Tensor]]:
            states, outputs = step(states, rows)
            # Scan needs an output for each row: an empty one costs nothing
            return _fresh(states), _fresh(outputs or [rows[0][:0]])

        final, stacked = scan(once, _fresh(states), list(rows))
        return list(final), list(stacked)
    collected = []
    for row in zip(*rows, strict=True):
        states, outputs = step(states, row)
        collected.append(outputs)
    return list(states), [torch.stack(output) for output in zip(*collected, strict=True)]


def _fresh(tensors: Tensors) -> list[Tensor]:
    """Copies, because the exporter refuses views; the exported graph has no copies."""
    return [tensor.clone() for tensor in tensors]


def fixed_point(
    step: Callable[[Tensor], Tensor], state: Tensor, tolerance: float, max_steps: int
) -> Tensor:
    """Repeat `state = step(state)` until it converges; in an exported graph, one ONNX Loop.

    Args:
        step: the map whose fixed point is computed.
        state: the initial state, a new tensor that `step` does not read in another way.
        tolerance: stop when no element changes by more than tolerance · max(1, |element|).
        max_steps: stop after this many steps in any case; the caller checks the result.
    """

    def moving(state: Tensor, before: Tensor) -> Tensor:
        # an element that is NaN counts as converged: comparisons with NaN are false
        return ((state - before).abs() > tolerance * before.abs().clamp(min=1)).any()

    def unfinished(i: Tensor, now: Tensor, before: Tensor) -> Tensor:
        return (i < max_steps) & ((i == 0) | moving(now, before))

    def once_more(i: Tensor, now: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return i + 1, step(now), now.clone()

    if while_loop is not None and torch.compiler.is_exporting():
        count = torch.zeros((), dtype=torch.int64, device=state.device)
        carried = (count, state, torch.zeros_like(state))
        final: Tensor = while_loop(unfinished, once_more, carried)[1]  # type: ignore[no-untyped-call]
        return final
    record = LOOP_RECORDER.get()
    if record is not None:
        return record(step, moving, state, max_steps)
    for _ in range(max_steps):
        before, state = state, step(state)
        if not torch.compiler.is_exporting() and not moving(state, before):
            break
    return state
