"""Loops that run as Python in torch and are one operator in an exported graph."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

Tensors = Sequence[Tensor]
ScanStep = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]
FIXED: Mapping[int, int] = MappingProxyType({})
"""No state grows."""

LoopStep = Callable[[Tensors], tuple[Tensors, Tensor]]
"""The states → the next ones, and whether to go on."""


class LoopRecorder(Protocol):
    """Takes the bodies of loops while operators are recorded."""

    def loop(self, step: LoopStep, states: Tensors, max_steps: int) -> list[Tensor]:
        """Record a `repeat_while`; returns what stands for the last states."""

    def scan(
        self, step: ScanStep, states: Tensors, rows: Tensors, growing: Mapping[int, int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Record a `scan_loop`; returns what stands for its results."""


LOOP_RECORDER: ContextVar[LoopRecorder | None] = ContextVar("loop_recorder", default=None)
"""What takes the loops of the running function; None if they run."""


def scan_loop(
    step: ScanStep, states: Tensors, rows: Tensors, growing: Mapping[int, int] = FIXED
) -> tuple[list[Tensor], list[Tensor]]:
    """Repeat `states, outputs = step(states, row)` over rows.

    In an exported graph it is one ONNX Scan, or one Loop where states grow.

    Args:
        step: the states and one row of each of `rows` → new states and outputs. It may contain
            another loop.
        states: the initial states.
        rows: tensors whose rows the steps read one after another.
        growing: of each state that becomes longer with every step, its place and the axis. All of
            them are equally long there, before the first step and after each; it may be 0.

    Returns:
        The last states, and each output stacked over all steps.
    """
    recorder = LOOP_RECORDER.get()
    if recorder is not None:
        return recorder.scan(step, states, rows, growing)
    collected = []
    for row in zip(*rows, strict=True):
        states, outputs = step(states, row)
        collected.append(outputs)
    return list(states), [torch.stack(output) for output in zip(*collected, strict=True)]


def scan_in_blocks(
    block: ScanStep,
    states: Tensors,
    rows: Tensors,
    size: int,
    growing: Mapping[int, int] = FIXED,
) -> list[Tensor]:
    """Go through rows block by block; in an exported graph, one loop, and what is left over.

    Where states grow the last block is no part of the loop: nothing reads what it would add.

    Args:
        block: the states and at most `size` rows of each of `rows` → new states, and outputs that
            are stacked over these rows. It may contain another loop.
        states: the initial states.
        rows: tensors of equally many rows.
        size: rows of a block; the last one has what is left.
        growing: as of `scan_loop`.

    Returns:
        Each output stacked over all rows.
    """
    count = (len(rows[0]) - bool(growing)) // size
    left = len(rows[0]) - count * size
    outputs: list[Tensors] = []
    if count == 1:
        states, only = block(states, [row[:size] for row in rows])
        outputs.append(only)
    if count > 1:
        whole = [row[: count * size].reshape(count, size, *row.shape[1:]) for row in rows]
        states, stacked = scan_loop(block, states, whole, growing)
        outputs.append([values.flatten(0, 1) for values in stacked])
    if left:
        outputs.append(block(states, [row[count * size :] for row in rows])[1])
    return [torch.cat(values) for values in zip(*outputs, strict=True)]


def repeat_while(step: LoopStep, states: Tensors, max_steps: int) -> list[Tensor]:
    """Repeat `states, goes_on = step(states)` while it goes on; in an exported graph, one Loop.

    Args:
        step: the states → new states of the same shapes, and a single truth value.
        states: the initial states.
        max_steps: at least one; stop after this many steps in any case.
    """
    recorder = LOOP_RECORDER.get()
    if recorder is not None:
        return recorder.loop(step, states, max_steps)
    for _ in range(max_steps):
        states, goes_on = step(states)
        if not goes_on:
            break
    return list(states)


def fixed_point(
    step: Callable[[Tensor], Tensor], state: Tensor, tolerance: float, max_steps: int
) -> Tensor:
    """Repeat `state = step(state)` until it converges; in an exported graph, one ONNX Loop.

    Args:
        step: the map whose fixed point is computed.
        state: the initial state.
        tolerance: stop when no element changes by more than tolerance · max(1, |element|).
        max_steps: stop after this many steps in any case; the caller checks the result.
    """

    def once(states: Tensors) -> tuple[Tensors, Tensor]:
        (before,) = states
        state = step(before)
        # an element that is NaN counts as converged: comparisons with NaN are false
        moving = ((state - before).abs() > tolerance * before.abs().clamp(min=1)).any()
        return [state], moving

    (state,) = repeat_while(once, [state], max_steps)
    return state
