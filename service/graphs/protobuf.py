"""Protobuf's messages, field by field, without their classes: the service has no onnx.

What protobuf's own parser would read otherwise is refused: a field must not mean one thing to what
checks a file, and another to what runs it.
"""

from collections.abc import Iterator
from typing import Literal

Content = bytes | memoryview
Value = int | Content

Kind = Literal["damaged", "operators", "external-data", "nesting", "size", "shapes"]
"""What is wrong with a graph, in one word: a closed set."""

# Protobuf cuts tags off at 32 bits: a larger one would be of another field there.
MAX_TAG = 2**32


class GraphError(ValueError):
    """A file that is no ONNX graph, or not one that a bundle may hold.

    Args:
        kind: of what is wrong.
        text: goes on a sentence that begins with the file's name.
    """

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


def damaged(what: str) -> GraphError:
    """The error of a file that is no graph."""
    return GraphError("damaged", f"is no ONNX graph: {what}")


def fields(content: Content) -> Iterator[tuple[int, Value]]:
    """Number and value of each field of a message; numbers of a fixed size are their bytes.

    Raises:
        GraphError: this is no protobuf.
    """
    position, end = 0, len(content)
    while position < end:
        tag, position = _varint(content, position)
        kind = tag & 7
        if tag >= MAX_TAG:
            raise damaged("a field has no number")
        if kind == 0:
            value, position = _varint(content, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(content, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise damaged("a field has no type")
        if position + length > end:
            raise damaged("a field ends too early")
        yield tag >> 3, content[position : position + length]
        position += length


def message(value: Value) -> Content:
    """The content of a field that is a message, or text."""
    if isinstance(value, int):
        raise damaged("a number stands for a message")
    return value


def text(value: Value) -> str:
    """The content of a field that is text."""
    return str(message(value), "utf-8", "replace")


def numbers(value: Value) -> list[int]:
    """The numbers of a repeated field, each a field of its own or all in one."""
    if isinstance(value, int):
        return [value]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(number)
    return found


def _varint(content: Content, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    end = len(content)
    while position < end and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise damaged("a number has no end")
