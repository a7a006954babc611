"""Recording the operators of a function of tensors, for any lengths of some axes.

The exporter of torch takes 15 to 40 ms an operator, most of them for the symbolic lengths of axes:
the encoding of a column of numbers, of 450 operators, took 12 s and its decoding 25 s. Here the
function runs twice, on tensors of different lengths, and each size that an operator is given is
compared between the two runs: what differs is a product of lengths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from models.numerics import LOOP_RECORDER, LoopStep, ScanStep, Tensors, logistic_from_normal
from training.export.recorded.recording import (
    GROWN,
    Body,
    CustomNode,
    RecordingError,
    Run,
    Step,
    Symbol,
)

aten = torch.ops.aten

UNIFORM = {
    aten.full_like.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones_like.default,
    aten.zeros_like.default,
}
"""Operators that read the shape and the number type of a tensor, but none of its elements."""

_INDEXED = {
    aten.embedding.default,
    aten.gather.default,
    aten.index.Tensor,
    aten.index_select.default,
}
"""Operators that fail at whole numbers that are no places of a tensor."""

_MATMUL = {torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__}


def custom_node(
    node: CustomNode, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Sequence[Tensor]:
    """Record a node that torch has no operator for; returns what stands for its outputs.

    Args:
        node: what is recorded.
        inputs: its inputs.
        outputs: of the shapes and number types of its outputs.
    """
    recorder = LOOP_RECORDER.get()
    assert isinstance(recorder, Recorder)
    return recorder.result(node, inputs, outputs)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that run.

    What depends on an input runs with any elements, and is not kept. On torch's device `meta`,
    without elements, small flows took three times as long, and the first one a second more.

    Args:
        names: tensors that the function reads, by name.
        grown: lengths of what grows in a loop, in a loop within one, ….
    """

    def __init__(self, names: Mapping[str, Tensor], grown: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._grown = list(grown)
        self.steps: list[Step] = []
        self._records = True
        self._symbols = WeakTensorKeyDictionary()
        for name, tensor in names.items():
            self._symbols[tensor] = _symbol(tensor, tensor, name)

    def run(self, function: Callable[..., Any], given: Mapping[str, Tensor]) -> Run:
        """Run a function of these tensors and record its steps."""
        inputs = {name: self.variable(tensor) for name, tensor in given.items()}
        token = LOOP_RECORDER.set(self)
        try:
            with torch.no_grad(), _Products(self), self:
                outputs = function(*given.values())
        finally:
            LOOP_RECORDER.reset(token)
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        return Run(inputs, self.steps, [self.symbol(tensor) for tensor in several])

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing compiles this, and what skips it takes a second to import."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._records:
            return func(*args, **kwargs)
        if func is aten.gelu.default and args[0].dtype == torch.float64:
            with self:  # onnxruntime lacks erf in float64
                return args[0] * torch.sigmoid(logistic_from_normal(args[0])[0])
        if func._schema.is_mutable:
            raise RecordingError(f"{func} changes a tensor in place")
        return self.step(func, func, args, kwargs)

    def step(self, operator: Any, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run an operator and record it.

        Args:
            operator: what is recorded.
            run: runs it.
            args, kwargs: its arguments.
        """
        known: list[Symbol] = []

        def known_symbol(tensor: Tensor) -> Symbol:
            known.append(self.symbol(tensor))
            return known[-1]

        arguments = _replaced((tuple(args), kwargs), known_symbol)
        is_constant = operator in UNIFORM or all(s.constant is not None for s in known)
        if operator is aten._local_scalar_dense.default and not is_constant:
            raise RecordingError("the function reads the elements of a tensor")
        if operator in _INDEXED and not is_constant:
            args, kwargs = self.silently(_at_zero, (args, kwargs))
        answer = self.silently(run, *args, **kwargs)
        tensors = list(answer) if isinstance(answer, tuple | list) else [answer]
        if not all(isinstance(tensor, Tensor) for tensor in tensors):
            return answer
        named = [symbol.name for symbol in known if symbol.name]
        name = named[0] if len(named) == 1 else ""
        outputs = [_symbol(tensor, tensor if is_constant else None, name) for tensor in tensors]
        for tensor, symbol in zip(tensors, outputs, strict=True):
            self._symbols[tensor] = symbol
        self.steps.append(Step(operator, arguments, outputs))
        return answer

    def result(
        self,
        operator: CustomNode | None,
        arguments: Sequence[Tensor],
        like: Sequence[Tensor],
        body: Body | None = None,
    ) -> list[Tensor]:
        """Record what torch does not run; returns what stands for its results.

        Args:
            operator: a node, or None of a loop.
            arguments: tensors.
            like: of the shapes and number types of the results.
            body: of a loop.
        """
        results, symbols = self._placeholders(like)
        given = tuple(self.symbol(tensor) for tensor in arguments)
        self.steps.append(Step(operator, (given, {}), symbols, body))
        return results

    def symbol(self, tensor: Tensor) -> Symbol:
        """What stands for a tensor: a constant if it is not known."""
        found: Symbol | None = self._symbols.get(tensor)  # type: ignore[no-untyped-call]
        if found is None:
            found = self._symbols[tensor] = _symbol(tensor, tensor)
        return found

    def variable(self, tensor: Tensor) -> Symbol:
        """What stands for a tensor that can have any elements."""
        symbol = self._symbols[tensor] = _symbol(tensor, None)
        return symbol

    def silently(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The result of a function that is no part of what is recorded."""
        self._records = False
        try:
            return function(*args, **kwargs)
        finally:
            self._records = True

    def loop(self, step: LoopStep, states: Tensors, max_steps: int) -> list[Tensor]:
        """Record the body of a loop once (`models.numerics.LoopRecorder`)."""
        now, symbols = self._placeholders(states)
        body = Body(symbols, [], max_steps)
        outer, self.steps = self.steps, body.steps
        after, goes_on = step(now)
        body.next_states, body.outputs = list(map(self.symbol, after)), [self.symbol(goes_on)]
        self.steps = outer
        return self.result(None, states, after, body)

    def scan(
        self, step: ScanStep, states: Tensors, rows: Tensors, growing: Mapping[int, int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Record the body of a scan once (`models.numerics.LoopRecorder`)."""
        length, outside = len(rows[0]), self._grown
        if growing and not outside:
            raise RecordingError(f"states grow in at most {len(GROWN)} loops within each other")
        here = outside[0] if growing else 0
        like = [self.silently(_of_length, v, growing.get(i), here) for i, v in enumerate(states)]
        now, state_symbols = self._placeholders(like)
        row, row_symbols = self._placeholders(self.silently(lambda: [r[0] for r in rows]))
        body = Body(state_symbols, row_symbols, rows_of_growing=length if growing else 0)
        outer, self.steps = self.steps, body.steps
        self._grown = outside[1:] if growing else outside
        after, outputs = step(now, row)
        body.next_states, body.outputs = list(map(self.symbol, after)), [*map(self.symbol, outputs)]
        self.steps, self._grown = outer, outside

        def last(i: int) -> Tensor:
            if (axis := growing.get(i)) is None:
                return after[i]
            more = after[i].shape[axis] - here
            return _of_length(after[i], axis, states[i].shape[axis] + length * more)

        lasting = self.silently(lambda: [last(i) for i in range(len(after))])
        stacked = self.silently(lambda: [v.expand(length, *v.shape) for v in outputs])
        results = self.result(None, (*states, *rows), [*lasting, *stacked], body)
        return results[: len(after)], results[len(after) :]

    def _placeholders(self, like: Sequence[Tensor]) -> tuple[list[Tensor], list[Symbol]]:
        """New tensors that can have any elements, and what stands for them."""
        tensors = [self.silently(torch.clone, tensor) for tensor in like]
        return tensors, list(map(self.variable, tensors))


class _Products(TorchFunctionMode):
    """Records matrix products whole: torch copies a matrix for each row of a batch of others."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _MATMUL:
            return func(*args, **kwargs)
        return self._recorder.step(aten.matmul.default, func, args, kwargs)


def _of_length(tensor: Tensor, axis: int | None, length: int) -> Tensor:
    """A tensor of the same shape, but of a length along an axis; the tensor if there is none."""
    if axis is None:
        return tensor
    shape = list(tensor.shape)
    shape[axis] = length
    return tensor.new_full(shape, 0.5)


def _at_zero(argument: Any) -> Any:
    """An argument with zeros in place of all whole numbers of its tensors."""
    return _replaced(argument, lambda t: torch.zeros_like(t) if t.dtype == torch.int64 else t)


def _replaced(argument: Any, function: Callable[[Tensor], Any]) -> Any:
    """An argument with the results of a function in place of tensors."""
    if isinstance(argument, Tensor):
        return function(argument)
    if isinstance(argument, dict):
        return {key: _replaced(value, function) for key, value in argument.items()}
    if isinstance(argument, tuple | list):
        return type(argument)(_replaced(value, function) for value in argument)
    return argument


def _symbol(tensor: Tensor, constant: Tensor | None, name: str = "") -> Symbol:
    """What stands for a tensor."""
    return Symbol(tuple(tensor.shape), tensor.dtype, constant, name)
