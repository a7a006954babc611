"""Recording the operators of a function of tensors, for any lengths of some axes.

The exporter of torch takes 15 to 40 ms an operator, most of them for the symbolic lengths of axes:
the encoding of a column of numbers, of 450 operators, took 12 s and its decoding 25 s. Here the
function runs twice, on tensors of different lengths, and each size that an operator is given is
compared between the two runs: what differs is a product of lengths.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.numerics import LOOP_RECORDER, logistic_from_normal

# Of each dynamic axis, its length in the two runs. Quotients of different axes are independent of
# each other: from two sizes follows which product of lengths they are.
_LENGTHS = ((5, 7), (3, 4), (11, 13))

_MOST = 2
"""The highest power of a length in a size."""

Axes = Sequence[int | str]
"""The shape of a tensor: lengths, and names of axes of any length."""


class RecordingError(ValueError):
    """A function that cannot be recorded; says why."""


class Size(NamedTuple):
    """A length: a factor times powers of the lengths of dynamic axes."""

    factor: int
    powers: tuple[int, ...]

    @property
    def is_static(self) -> bool:
        """Whether it depends on no axis."""
        return not any(self.powers)


@dataclass
class Step:
    """An operator that ran, or a loop.

    Args:
        operator: of torch; None of a loop.
        arguments: positional and by name.
        outputs: its results, in order.
        loop: of a loop, its body.
    """

    operator: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: list[Tensor]
    loop: "LoopBody | None" = None


@dataclass
class LoopBody:
    """The body of a loop: a state → the next one, and whether to go on.

    Args:
        state: the tensor that stands for the state.
        max_steps: the loop ends after so many at the latest.
        steps: of the body.
        next_state, goes_on: its results.
    """

    state: Tensor
    max_steps: int
    steps: list[Step] = field(default_factory=list)
    next_state: Tensor | None = None
    goes_on: Tensor | None = None


@dataclass
class Run:
    """One of the two runs.

    Args:
        inputs: by name.
        steps: what ran.
        outputs: of the function.
    """

    inputs: dict[str, Tensor]
    steps: list[Step]
    outputs: list[Tensor]


@dataclass(frozen=True)
class Recording:
    """Both runs of a function, step by step alike, and the names of the axes of any length."""

    runs: tuple[Run, Run]
    axes: tuple[str, ...]

    def size(self, first: int, second: int) -> Size:
        """The length that is `first` in one run and `second` in the other.

        Raises:
            RecordingError: it is no product of lengths of axes.
        """
        for powers in _powers(len(self.axes)):
            one, other = (_product(run, powers) for run in range(2))
            if first % one == 0 and second == first // one * other:
                return Size(first // one, powers)
        raise RecordingError(f"sizes {first} and {second} are no products of {self.axes}")


def record(
    function: Callable[..., Any],
    inputs: Mapping[str, Axes],
    dtype: torch.dtype,
    examples: Mapping[str, Tensor],
) -> Recording:
    """Record a function of tensors.

    Args:
        function: of the inputs, in their order, → a tensor or a tuple of them. It makes no decision
            by their values, and its loops are those of `fixed_point`.
        inputs: the shape of each by name.
        dtype: number type of the inputs.
        examples: by name, the values of inputs along their last axes, where any values will not do.

    Raises:
        RecordingError: the function does other steps at other lengths, or has too many axes.
    """
    axes = tuple(dict.fromkeys(a for shape in inputs.values() for a in shape if isinstance(a, str)))
    if len(axes) > len(_LENGTHS):
        raise RecordingError(f"at most {len(_LENGTHS)} axes can have any length, got {axes}")
    runs = []
    for lengths in zip(*_LENGTHS, strict=True):
        known: dict[int | str, int] = dict(zip(axes, lengths, strict=False))
        given = {}
        for name, shape in inputs.items():
            example = examples.get(name, torch.tensor(0.5, dtype=dtype))
            given[name] = example.expand([known.get(a, a) for a in shape]).clone()  # type: ignore
        runs.append(_run(function, given))
    return Recording((runs[0], runs[1]), axes)


def _run(function: Callable[..., Any], given: dict[str, Tensor]) -> Run:
    """Run a function and record its steps."""
    mode = _Mode()
    token = LOOP_RECORDER.set(mode.loop)
    try:
        with torch.no_grad(), mode:
            outputs = function(*given.values())
    finally:
        LOOP_RECORDER.reset(token)
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    return Run(given, mode.steps, list(several))


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that run; GELU in float64 by others, as onnxruntime lacks erf there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.records = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.gelu.default and args[0].dtype == torch.float64:
            with self:
                return args[0] * torch.sigmoid(logistic_from_normal(args[0])[0])
        answer = func(*args, **kwargs)
        outputs = list(answer) if isinstance(answer, tuple | list) else [answer]
        if self.records:
            self.steps.append(Step(func, (tuple(args), kwargs), outputs))
        return answer

    def loop(
        self,
        step: Callable[[Tensor], Tensor],
        moving: Callable[[Tensor, Tensor], Tensor],
        state: Tensor,
        max_steps: int,
    ) -> Tensor:
        """Record a loop (`models.numerics.LoopRecorder`): its body once."""
        body = LoopBody(self._silently(torch.full_like, state, 0.5), max_steps)
        outer, self.steps = self.steps, body.steps
        body.next_state = step(body.state)
        body.goes_on = moving(body.next_state, body.state)
        self.steps = outer
        last: Tensor = self._silently(torch.clone, body.next_state)
        self.steps.append(Step(None, ((state,), {}), [last], body))
        return last

    def _silently(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """The result of a function that is no part of what is recorded."""
        self.records = False
        try:
            return function(*arguments)
        finally:
            self.records = True


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same shape and elements, NaN being equal to NaN."""
    return (
        first.shape == second.shape
        and torch.equal(first.nan_to_num(nan=0.25), second.nan_to_num(nan=0.25))
        and torch.equal(first.isnan(), second.isnan())
    )


def _powers(axes: int) -> list[tuple[int, ...]]:
    """All powers of the lengths of so many axes, the lowest first."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(axes):
        found = [(*powers, i) for powers in found for i in range(_MOST + 1)]
    return sorted(found, key=sum)


def _product(run: int, powers: tuple[int, ...]) -> int:
    product = 1
    for lengths, power in zip(_LENGTHS, powers, strict=False):
        product *= lengths[run] ** power
    return product
