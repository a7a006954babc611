"""The lines of a file or a pipe, as bytes, each with its number and its place."""

import select
from collections import deque
from collections.abc import Iterator
from io import FileIO

READ_BYTES = 2**18


class Lines(Iterator[bytes]):
    """Lines with their ends, of which some may be put back.

    Args:
        file: unbuffered.
        most: bytes of a line; of a longer one so many and one come, and the rest is passed over.
        offset: where the next line begins.
        number: of the next line, from 1.
        is_pipe: whether more may come later.
    """

    def __init__(
        self, file: FileIO, most: int, offset: int = 0, number: int = 1, is_pipe: bool = False
    ) -> None:
        self.offset = offset
        self.number = number
        self._file = file
        self._most = most
        self._is_pipe = is_pipe
        self._buffer = b""
        self._position = 0
        self._again: deque[tuple[bytes, int]] = deque()
        if offset:
            file.seek(offset)

    def __next__(self) -> bytes:
        return self.take()[0]

    def take(self) -> tuple[bytes, int]:
        """The next line, and its bytes in the file, for `put_back`.

        Raises:
            StopIteration: there is none.
        """
        line, size = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.offset += size
        self.number += 1
        return line, size

    def put_back(self, lines: list[tuple[bytes, int]]) -> None:
        """Give these lines again, as they were taken one after another just now."""
        self._again.extendleft(reversed(lines))
        self.offset -= sum(size for _, size in lines)
        self.number -= len(lines)

    @property
    def would_wait(self) -> bool:
        """Whether the next line of a pipe has not come yet."""
        if not self._is_pipe or self._again or self._buffer.find(b"\n", self._position) >= 0:
            return False
        return not select.select([self._file], [], [], 0)[0]

    def _read(self) -> tuple[bytes, int]:
        """The next line of the file, and how many bytes it has there; nothing at the end."""
        dropped = 0
        while (end := self._buffer.find(b"\n", self._position)) < 0:
            rest = self._buffer[self._position :]
            if len(rest) > self._most + 1 and not dropped:
                kept, dropped = rest[: self._most + 1], len(rest)
                rest = b""
            elif dropped:
                dropped, rest = dropped + len(rest), b""
            more = self._file.read(READ_BYTES)
            self._buffer, self._position = rest + (more or b""), 0
            if not more:
                self._buffer = b""
                return (kept, dropped) if dropped else (rest, len(rest))
        line = self._buffer[self._position : end + 1]
        self._position = end + 1
        if dropped:
            return kept, dropped + len(line)
        return line[: self._most + 1], len(line)
