"""An operator in both runs of a recording, and what its translation asks about it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from training.export.recorded.builder import GraphBuilder
from training.export.recorded.recording import CustomNode, RecordingError, Step, Symbol
from training.export.recorded.value import KINDS, Value


class Call:
    """An operator in both runs, and what its translation asks about it."""

    def __init__(self, build: GraphBuilder, one: Step, other: Step) -> None:
        self.build, self.one, self.other = build, one, other

    @property
    def output(self) -> Symbol:
        """The first result, in the first run."""
        return self.one.outputs[0]

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the first result."""
        return self.output.dtype

    @property
    def common_dtype(self) -> torch.dtype:
        """The number type in which two arguments are compared."""
        first, second = self.one.arguments[0][:2]
        return torch.result_type(_example(first), _example(second))

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

    def value_in(self, place: int, index: int) -> Value:
        """The value of one tensor of a list."""
        first, second = self.both(place)
        return self.build.value(first[index], second[index])

    def operand(self, place: int, name: str = "", default: Any = None) -> Value:
        """A tensor or a number among the arguments as a value."""
        given, twin = self.both(place, name, default)
        if isinstance(given, Symbol):
            return self.build.value(given, twin)
        if given != twin and given == given:
            raise RecordingError(f"{self.one.operator} reads a number that depends on lengths")
        return self.number(given)

    def number(self, number: Any) -> Value:
        """A number as a value."""
        tensor = torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None)
        return Value("", (), tensor.dtype, 0, tensor)

    def scalar(self, number: float) -> str:
        """The name of a constant number of the result's number type."""
        return self.build.tensor(torch.tensor(number, dtype=self.dtype))

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
        if dtype is not None:
            values = [self.cast(value, dtype) for value in values]
        return self.result(operator, self._broadcast(values))

    def result(
        self, operator: str, values: Sequence[Value | str], output: int = 0, **attributes: Any
    ) -> Value:
        """A node whose output is a result of the call; strings are names of constants."""
        level, names = _inputs(values)
        return self._value(self.build.node(operator, names, level, **attributes), level, output)

    def results(
        self, operator: str, values: Sequence[Value | str], domain: str = "", **attributes: Any
    ) -> list[Value]:
        """A node whose outputs are all results of the call."""
        level, inputs = _inputs(values)
        count = len(self.one.outputs)
        names = self.build.nodes(operator, inputs, level, count, domain, **attributes)
        return [self._value(name, level, i) for i, name in enumerate(names)]

    def custom(self, node: CustomNode) -> list[Value]:
        """A node of another domain, whose inputs are the arguments."""
        values = [self.whole(i) for i in range(self.count())]
        return self.results(node.operator, values, node.domain, **node.attributes)

    def _value(self, name: str, level: int, output: int) -> Value:
        """A result of the call, by the name that a node gives it."""
        sizes = self.build.sizes(self.one.outputs[output], self.other.outputs[output])
        return self.build.declare(Value(name, sizes, self.one.outputs[output].dtype, level))

    def step(
        self,
        operator: str,
        *values: Value | str,
        dtype: torch.dtype | None = None,
        **attributes: Any,
    ) -> Value:
        """A node on the way to the result; its value has the first one's sizes, if they matter."""
        first = next(value for value in values if isinstance(value, Value))
        level, names = _inputs(values)
        name = self.build.node(operator, names, level, **attributes)
        return Value(name, first.sizes, dtype or first.dtype, level)

    def whole(self, place: int) -> Value:
        """A tensor among the arguments, with all its elements."""
        return self.build.materialised(self.value(place))

    def broadcast(self, place: int) -> Value:
        """A tensor among the arguments; of a constant, its own elements, or the one of all."""
        value = self.value(place)
        return value if value.constant is None else self.build.constant(value)

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """A value in another number type."""
        if value.dtype == dtype:
            return value
        if value.constant is not None:
            return Value(value.name, value.sizes, dtype, 0, value.constant.to(dtype))
        name = self.build.node("Cast", [value.name], value.level, to=KINDS[dtype])
        return Value(name, value.sizes, dtype, value.level)

    def is_uniform(self) -> bool:
        """Whether the only result depends on no input, and all its elements are equal."""
        both = [self.output.constant, self.other.outputs[0].constant]
        return len(self.one.outputs) == 1 and all(
            elements is not None and _all_equal(elements, self._element()) for elements in both
        )

    def uniform(self) -> Value:
        """The result as a single number, all elements of the result being equal."""
        sizes = self.build.sizes(self.output, self.other.outputs[0])
        return Value("", sizes, self.dtype, 0, self._element())

    def _element(self) -> Tensor:
        """The first element of the result, which depends on no input; zero if there is none."""
        assert self.output.constant is not None
        elements = self.output.constant.reshape(-1)
        return elements[0] if len(elements) else elements.new_zeros(())

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


def _inputs(values: Sequence[Value | str]) -> tuple[int, list[str]]:
    """The level of a node that reads these values, and their names."""
    level = max((v.level for v in values if isinstance(v, Value)), default=0)
    return level, [v if isinstance(v, str) else v.name for v in values]


def _example(argument: Any) -> Any:
    """A tensor of the shape and number type of a symbol; what is none, as it is."""
    if not isinstance(argument, Symbol):
        return argument
    return torch.empty(argument.shape, dtype=argument.dtype, device="meta")


def _all_equal(elements: Tensor, element: Tensor) -> bool:
    """Whether all elements of a tensor equal this one, NaN being equal to NaN."""
    equal = torch.isnan(elements) if bool(torch.isnan(element)) else elements == element
    return bool(equal.all())
