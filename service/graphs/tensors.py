"""Tensors of ONNX: the type and shape of a value, and the data of what stands in a file.

Data must be in the file and of the size that its shape says: onnxruntime would read other data from
any file, or any place in memory, that a tensor names.
"""

import math
from typing import NamedTuple

from service.graphs.protobuf import (
    Content,
    GraphError,
    Value,
    damaged,
    fields,
    message,
    numbers,
    text,
)

# Bytes of an element, by onnx.TensorProto.DataType; text, and types to come, are none.
ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
INT64 = 7

MAX_SIDES = 16
MAX_VALUE_BYTES = 2**32
"""Of a value by its shape; where that has rows, for each row."""

# Fields of onnx.TensorProto: least bytes of an element in the fields of typed data, and what else
# a tensor may have that says nothing of its size.
TYPED_DATA = {4: 4, 5: 1, 7: 1, 10: 8, 11: 1}
HARMLESS = frozenset({8, 12, 14, 16})


class TensorType(NamedTuple):
    """What a value is.

    Args:
        element: its type, by onnx.TensorProto.DataType; 0 where none is given.
        sides: of its shape, None for each that is left open; None where it has no shape.
    """

    element: int
    sides: tuple[int | None, ...] | None

    @property
    def bytes(self) -> int:
        """By the sides that are fixed."""
        return ELEMENT_BYTES.get(self.element, 0) * math.prod(
            s for s in self.sides or () if s is not None
        )

    @property
    def row_bytes(self) -> int:
        """Of each row; 0 where every side is fixed."""
        return self.bytes if None in (self.sides or ()) else 0


class Tensor(NamedTuple):
    """What is of interest in a tensor of a file.

    Args:
        name: of it; empty where it has none.
        data_bytes: of its elements, as they stand in the file.
        sides: its elements, where they may be the sides of a shape.
    """

    name: str
    data_bytes: int
    sides: list[int] | None


def read_tensor(content: Content) -> Tensor:
    """An onnx.TensorProto, of which the data is in the file.

    Raises:
        GraphError: it is not, or is of another size than the shape says.
    """
    shape: list[int] = []
    name, element, raw, held = "", 0, None, 0
    typed: list[Value] = []
    for number, value in fields(content):
        if number == 1:
            shape += numbers(value)
        elif number == 2:
            element = value if isinstance(value, int) else 0
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = message(value)
        elif number in TYPED_DATA:
            typed.append(value)
            held += 1 if isinstance(value, int) else len(value) // TYPED_DATA[number]
        elif number == 13 or (number == 14 and value != 0):
            raise GraphError(
                "external-data", "takes data from another file, and bundles hold their own"
            )
        elif number not in HARMLESS:
            raise damaged("a tensor has what no tensor of a bundle has")
    _check_sides(shape)
    size = math.prod(shape)
    if element not in ELEMENT_BYTES:
        raise damaged("a tensor is of no type that a bundle has")
    # where data is not raw, a whole number has from 1 to 10 bytes
    is_whole = size <= held <= 10 * size
    if raw is not None:
        is_whole = size * ELEMENT_BYTES[element] == len(raw)
    if not is_whole:
        raise GraphError(
            "shapes", f"holds a tensor of {size} elements, and other data than that many have"
        )
    sides = None
    if element == INT64 and 0 < size <= MAX_SIDES:
        read = [_signed(number) for value in typed for number in numbers(value)]
        sides = read if raw is None else memoryview(raw).cast("q").tolist()
    data = sum(len(v) for v in typed if not isinstance(v, int)) if raw is None else len(raw)
    return Tensor(name, data, sides)


def tensor_type(content: Content) -> TensorType:
    """What onnx.TypeProto.Tensor says."""
    element, sides = 0, None
    for number, value in fields(content):
        if number == 1 and isinstance(value, int):
            element = value
        elif number == 2:
            sides = sides or []
            for key, side in fields(message(value)):
                if key == 1:
                    fixed = [v for k, v in fields(message(side)) if k == 1 and isinstance(v, int)]
                    sides.append(fixed[-1] if fixed else None)
            _check_sides(sides)
    return TensorType(element, None if sides is None else tuple(sides))


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _check_sides(sides: list[int] | list[int | None]) -> None:
    if len(sides) > MAX_SIDES:
        raise GraphError("shapes", f"has a shape of {len(sides)} sides, and may have {MAX_SIDES}")
