"""An operator in both runs of a recording, and what its translation asks about it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from training.export.recorded.builder import KINDS, GraphBuilder, Value
from training.export.recorded.recording import RecordingError, Step, same


class Call:
    """An operator in both runs, and what its translation asks about it."""

    def __init__(self, build: GraphBuilder, one: Step, other: Step) -> None:
        self.build, self.one, self.other = build, one, other

    @property
    def output(self) -> Tensor:
        """The first result, in the first run."""
        return self.one.outputs[0]

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the first result."""
        return self.output.dtype

    @property
    def common_dtype(self) -> torch.dtype:
        """The number type in which two arguments are compared."""
        return torch.result_type(*self.one.arguments[0][:2])

    def count(self) -> int:
        """How many arguments there are by position."""
        return len(self.one.arguments[0])

    def both(self, place: int, name: str = "", default: Any = None) -> tuple[Any, Any]:
        """An argument by its place or its name, as in each run."""
        first, second = (
            positional[place] if place < len(positional) else named.get(name, default)
            for positional, named in (self.one.arguments, self.other.arguments)
        )
        return first, second

    def argument(self, place: int, name: str = "", default: Any = None) -> Any:
        """An argument by its place or its name, as in the first run."""
        return self.both(place, name, default)[0]

    def axis(self, place: int, name: str = "dim", default: int = 0, of: int | None = None) -> int:
        """An axis, counted from the first one of `of`, or of as many as the first argument has."""
        axes = len(self.value(0).sizes) if of is None else of
        return int(self.argument(place, name, default)) % axes

    def value(self, place: int) -> Value:
        """The value of a tensor among the arguments."""
        return self.build.value(*self.both(place))

    def values(self, place: int) -> list[Value]:
        """The values of a list of tensors."""
        return [self.build.value(a, b) for a, b in zip(*self.both(place), strict=True)]

    def operand(self, place: int, name: str = "") -> Value:
        """A tensor or a number among the arguments as a value."""
        given, twin = self.both(place, name)
        if isinstance(given, Tensor):
            return self.build.value(given, twin)
        if given != twin and given == given:
            raise RecordingError(f"{self.one.operator} reads a number that depends on lengths")
        return self.number(given)

    def number(self, number: Any) -> Value:
        """A number as a value."""
        tensor = torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None)
        return Value("", (), tensor.dtype, 0, tensor)

    def elementwise(
        self, operator: str, dtype: torch.dtype | None = None, operands: Sequence[Value] = ()
    ) -> Value:
        """A node of an elementwise operator.

        Args:
            operator: of ONNX.
            dtype: that all operands are cast to, if any.
            operands: those of the call if there are none here.
        """
        values = list(operands) or [self.operand(i) for i in range(self.count())]
        if all(value.constant is not None for value in values) and self._is_uniform():
            return self.uniform()
        if dtype is not None:
            values = [self.cast(value, dtype) for value in values]
        return self.result(operator, self._broadcast(values))

    def result(
        self, operator: str, values: Sequence[Value | str], output: int = 0, **attributes: Any
    ) -> Value:
        """A node whose output is a result of the call; strings are names of constants."""
        level = max((v.level for v in values if isinstance(v, Value)), default=0)
        names = [v if isinstance(v, str) else v.name for v in values]
        one, other = self.one.outputs[output], self.other.outputs[output]
        name = self.build.node(operator, names, level, **attributes)
        return Value(name, self.build.sizes(one, other), one.dtype, level)

    def step(self, operator: str, *values: Value, dtype: torch.dtype | None = None) -> Value:
        """A node on the way to the result, of the first value's shape."""
        first = values[0]
        level = max(v.level for v in values)
        name = self.build.node(operator, [v.name for v in values], level)
        return Value(name, first.sizes, dtype or first.dtype, level)

    def whole(self, place: int) -> Value:
        """A tensor among the arguments, with all its elements."""
        return self.build.materialised(self.value(place))

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """A value in another number type."""
        if value.dtype == dtype:
            return value
        if value.constant is not None:
            return Value("", value.sizes, dtype, 0, value.constant.to(dtype))
        name = self.build.node("Cast", [value.name], value.level, to=KINDS[dtype])
        return Value(name, value.sizes, dtype, value.level)

    def uniform(self) -> Value:
        """The result as a single number, all elements of the result being equal."""
        elements = self.output.reshape(-1)
        element = elements[0] if len(elements) else elements.new_zeros(())
        sizes = self.build.sizes(self.output, self.other.outputs[0])
        return Value("", sizes, self.dtype, 0, element.reshape(()))

    def _is_uniform(self) -> bool:
        """Whether all elements of the result are equal, in both runs."""
        first = self.output.reshape(-1)[:1]
        return bool(first.numel()) and all(
            same(each, first.expand(each.shape)) for each in (self.output, self.other.outputs[0])
        )

    def _broadcast(self, values: Sequence[Value]) -> list[Value]:
        """Values to be read together: single numbers where the others have the result's shape."""
        sizes = self.build.sizes(self.output, self.other.outputs[0])
        read = [v if v.constant is None else self.build.constant(v) for v in values]
        shapes = [v.sizes[::-1] for v in read]
        for i, size in enumerate(sizes[::-1]):
            is_one = size.is_static and size.factor == 1
            if not is_one and not any(i < len(shape) and shape[i] == size for shape in shapes):
                return [self.build.materialised(value) for value in values]
        return read
