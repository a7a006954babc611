"""As much of Thrift's compact protocol as Parquet's metadata needs: structs, lists and numbers.

It is read here a field at a time, as pyarrow makes objects of all of it, hundreds of bytes for a
few of the file. What nobody asks for is skipped.
"""

from collections.abc import Iterator

from service.errors import TooLargeError

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
BITS = {I16: 16, I32: 32, I64: 64}
MAX_FIELD = 2**15

# Fields and entries of all metadata of a file, each of which takes microseconds.
MAX_STEPS = 2**18
MAX_DEPTH = 32
MAX_VARINT_BYTES = 10


class ThriftReader:
    """Reads values one after another.

    Args:
        data: all bytes.
        place: of the next one.
        steps: how many fields and entries have been read before.

    Raises:
        IndexError, ValueError: from any method: it is not what it should be, or at its end.
        TooLargeError: from any method: there are more fields than metadata of tables has.
    """

    def __init__(self, data: bytes, place: int = 0, steps: int = 0) -> None:
        self._data = data
        self.place = place
        self.steps = steps

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and type of each field of a struct; whoever asks reads or skips its value."""
        seen: set[int] = set()
        number = 0
        while (head := self._byte()) != 0:
            self._count(1)
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._zigzag(16)
            # of two values one would be read here, and another by pyarrow
            if number in seen or not 0 <= number < MAX_FIELD:
                raise ValueError("a field that is there twice, or that there is not")
            seen.add(number)
            yield number, kind

    def whole(self, kind: int, expected: int = I32) -> int:
        """A whole number of the type that is expected, as pyarrow passes over others."""
        if kind != expected:
            raise ValueError("something else where a whole number should be")
        return self._zigzag(BITS[kind])

    def binary(self, kind: int) -> bytes:
        """A text or other bytes."""
        if kind != BINARY:
            raise ValueError("something else where a text should be")
        size = self._size()
        start, self.place = self.place, self.place + size
        return self._data[start : self.place]

    def structs(self, kind: int) -> Iterator[int]:
        """The numbers of a list's entries; whoever asks reads the fields of each."""
        entries, size = self._list(kind)
        if entries != STRUCT and size:
            raise ValueError("a list of something else where structs should be")
        for i in range(size):
            self._count(1)
            yield i

    def struct(self, kind: int) -> Iterator[tuple[int, int]]:
        """The fields of a struct that is a field itself."""
        if kind != STRUCT:
            raise ValueError("something else where a struct should be")
        return self.fields()

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value."""
        if depth > MAX_DEPTH:
            raise ValueError("values in values, deeper than metadata goes")
        if kind in (TRUE, FALSE):
            return
        if kind == BYTE:
            self._byte()
        elif kind in BITS:
            self._varint()
        elif kind == DOUBLE:
            self.place += 8
        elif kind == BINARY:
            self.binary(kind)
        elif kind in (LIST, SET):
            entries, size = self._list(kind)
            self._skip_entries((entries,), size, depth)
        elif kind == MAP:
            size = self._size()
            if size:
                kinds = self._byte()
                self._skip_entries((kinds >> 4, kinds & 15), size, depth)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            raise ValueError(f"a value of type {kind}, which there is not")

    def _skip_entries(self, kinds: tuple[int, ...], size: int, depth: int) -> None:
        for _ in range(size):
            self._count(1)
            for kind in kinds:
                # a truth value takes a byte here, and none as a field
                self.skip(BYTE if kind in (TRUE, FALSE) else kind, depth + 1)

    def _list(self, kind: int) -> tuple[int, int]:
        if kind not in (LIST, SET):
            raise ValueError("something else where a list should be")
        head = self._byte()
        size = head >> 4
        return head & 15, self._size() if size == 15 else size

    def _size(self) -> int:
        """A size, of which each takes a byte at least."""
        size = self._varint()
        if size > len(self._data) - self.place:
            raise ValueError("its end is missing")
        return size

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise TooLargeError(
                f"the metadata of a Parquet file may have {MAX_STEPS} fields, this one has more: "
                "write fewer columns, row groups and pages"
            )

    def _byte(self) -> int:
        byte = self._data[self.place]
        self.place += 1
        return byte

    def _varint(self) -> int:
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self._byte()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value
        raise ValueError("a number that does not end")

    def _zigzag(self, bits: int) -> int:
        value = self._varint()
        if value >> bits:  # of which pyarrow takes the last
            raise ValueError(f"a number of more than {bits} bits")
        return (value >> 1) ^ -(value & 1)
