"""Numbers by their key in memory that one process writes and others read."""

import json
import mmap
import struct

# The head of the memory says where it ends; an entry has the sizes of its key and of its numbers,
# the key in JSON and the numbers, each on a multiple of eight bytes.
HEAD_BYTES = 8
ENTRY = struct.Struct("<II")

Key = tuple[str, tuple[str, ...], tuple[float, ...]]
"""Name, label values, and bounds of a histogram."""


class Region:
    """The memory of one worker: numbers by their key, added and never taken away.

    One process writes; it makes an entry whole before the head says that it is there.

    Args:
        memory: zeros, or what a process before this one has left.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._bytes = memoryview(memory)
        self._numbers = self._bytes.cast("d")
        self._ends = self._bytes.cast("Q")
        self._seen = HEAD_BYTES
        self._found: dict[Key, memoryview[float]] = {}
        self.keys: list[Key] = []
        """All that have been found, in the order in which they were added."""

    def look(self) -> None:
        """Find the keys that have been added."""
        end = self._ends[0]
        while self._seen < end:
            key_bytes, numbers = ENTRY.unpack_from(self._bytes, self._seen)
            start = self._seen + ENTRY.size
            name, labels, bounds = json.loads(bytes(self._bytes[start : start + key_bytes]))
            key = name, tuple(labels), tuple(bounds)
            first = (start + key_bytes + 7) // 8
            self._found[key] = self._numbers[first : first + numbers]
            self._seen = 8 * (first + numbers)
            self.keys.append(key)

    def find(self, key: Key) -> "memoryview[float] | None":
        """The numbers of a key."""
        return self._found.get(key)

    def make(self, key: Key, numbers: int) -> "memoryview[float] | None":
        """So many zeros for a key; None where there is no room."""
        content = json.dumps(key).encode()
        begin = self._ends[0] or HEAD_BYTES
        start = begin + ENTRY.size
        first = (start + len(content) + 7) // 8
        if 8 * (first + numbers) > len(self._bytes):
            return None
        ENTRY.pack_into(self._bytes, begin, len(content), numbers)
        self._bytes[start : start + len(content)] = content
        # who was killed here may have left a longer key
        self._bytes[8 * first : 8 * (first + numbers)] = bytes(8 * numbers)
        self._ends[0] = 8 * (first + numbers)
        self.look()
        return self._found[key]
