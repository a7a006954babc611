"""As much of FlatBuffers as Arrow's metadata needs: tables, vectors, strings and numbers.

A table begins with the distance back to its vtable, which has the place of each field, or 0. It is
read here a field at a time, as pyarrow makes objects of all of it: hundreds of bytes for each four
of a vector whose entries all point at one table.
"""

from collections.abc import Iterator
from struct import Struct

U8, I16, U16, I32, U32, I64 = map(Struct, ("<B", "<h", "<H", "<i", "<I", "<q"))


class FlatTable:
    """One table.

    Args:
        data: the buffer that holds it.
        place: of its first byte.

    Raises:
        struct.error, ValueError: from any method too: it points to where there is nothing.
    """

    __slots__ = ("_data", "_fields", "_place", "_vtable")

    def __init__(self, data: bytes, place: int) -> None:
        (back,) = I32.unpack_from(data, place)
        vtable = place - back
        if vtable < 0:
            raise ValueError("a table whose fields are nowhere")
        self._data = data
        self._place = place
        self._vtable = vtable
        self._fields = (U16.unpack_from(data, vtable)[0] - 4) // 2

    @classmethod
    def root(cls, data: bytes) -> "FlatTable":
        """The table of a whole buffer."""
        return cls(data, U32.unpack_from(data, 0)[0])

    def number(self, field: int, layout: Struct) -> int:
        """A number; 0 where it is left out."""
        place = self._place_of(field)
        value: int = layout.unpack_from(self._data, place)[0] if place else 0
        return value

    def table(self, field: int) -> "FlatTable | None":
        """A table; None where it is left out."""
        place = self._place_of(field)
        return FlatTable(self._data, self._target(place)) if place else None

    def vector(self, field: int) -> tuple[int, int]:
        """The place of a vector's first entry, and how many there are."""
        place = self._place_of(field)
        if not place:
            return 0, 0
        target = self._target(place)
        return target + 4, U32.unpack_from(self._data, target)[0]

    def tables(self, field: int) -> Iterator["FlatTable"]:
        """The tables of a vector."""
        first, count = self.vector(field)
        for place in range(first, first + 4 * count, 4):
            yield FlatTable(self._data, self._target(place))

    def string(self, field: int) -> bytes:
        """A string; empty where it is left out."""
        first, size = self.vector(field)
        return self._data[first : first + size]

    def numbers(self, field: int, per_entry: int) -> tuple[int, ...]:
        """The numbers of 64 bits in a vector of structs of so many."""
        first, count = self.vector(field)
        if 8 * per_entry * count > len(self._data):
            raise ValueError("a vector that is longer than its message")
        return Struct(f"<{per_entry * count}q").unpack_from(self._data, first)

    def _place_of(self, field: int) -> int:
        if field >= self._fields:
            return 0
        (offset,) = U16.unpack_from(self._data, self._vtable + 4 + 2 * field)
        return self._place + offset if offset else 0

    def _target(self, place: int) -> int:
        target: int = place + U32.unpack_from(self._data, place)[0]
        return target
