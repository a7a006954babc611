"""Bodies that are small until they are decompressed."""

import gzip
import zlib
from typing import Any

from tests.hostile.attacker import REFUSED, Make, body_attacker
from tests.hostile.attackers.json_bodies import MANY_BYTES, MANY_VALUES, empty_lists, many_rows

ANSWERED = REFUSED | {200}


def zeros(scale: float) -> bytes:
    """A gzip member of 10 GB of zeros, in 10 MB, without its end: a piece that repeats."""
    packer, piece = zlib.compressobj(9, wbits=31), bytes(2**20)
    start, again = (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return start + again * max(1, int(10_000 * scale))


def lists(scale: float) -> bytes:
    """22 million empty lists in 64 KB."""
    return gzip.compress(empty_lists(scale), 9)


def rows(scale: float) -> bytes:
    """64 MiB of rows, which compress well too."""
    return zlib.compress(many_rows(scale), 9)


def members(scale: float) -> bytes:
    """A million members of nothing."""
    return gzip.compress(b"", 1) * max(2, int(1_000_000 * scale))


def member_bombs(scale: float) -> bytes:
    """Thousands of members of a megabyte each."""
    return gzip.compress(bytes(2**20), 9) * max(2, int(30_000 * scale))


def trailing_zeros(scale: float) -> bytes:
    """A request, then 60 MB of zeros."""
    return gzip.compress(b'{"model":"tiny","x":[[0.5,-2.0]]}') + bytes(int(60e6 * scale))


def long_name(scale: float) -> bytes:
    """A gzip header whose file name never ends."""
    return b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"a" * int(60e6 * scale)


def bomb_in_bomb(scale: float) -> bytes:
    """A gzip of a gzip: only the outer one is to be opened."""
    return gzip.compress(zeros(scale), 9)


def packed(make: Make) -> Make:
    """A body at JSON's limits, compressed as little as is allowed."""
    return lambda scale: gzip.compress(make(scale), 1)


BODIES: tuple[tuple[Any, ...], ...] = (
    ("gzip-zeros", "gzip", "B5", "10 GB in 10 MB are refused at the limit", zeros),
    ("gzip-empty-lists", "gzip", "B5", "22 million lists in 64 KB are refused", lists),
    ("deflate-rows", "deflate", "B5", "64 MiB of rows in 150 KB are refused", rows),
    ("gzip-members", "gzip", "B19", "the limit holds over all members", members, member_bombs),
    ("gzip-padding", "gzip", "B19", "60 MB of padding hold nobody up", trailing_zeros, long_name),
    (
        "gzip-of-limit",
        "gzip",
        "vii",
        "JSON of the most values and bytes, compressed",
        *map(packed, MANY_VALUES + MANY_BYTES),
    ),
    ("gzip-in-gzip", "gzip", "B5", "one layer is opened, and no more", bomb_in_bomb),
    ("unknown-encoding", "br", "vi", "what is not decompressed is refused by its name", zeros),
)

for name, encoding, line, guards, *make in BODIES:
    body_attacker(
        name, line, guards, *make, expected=ANSWERED, quick=0.01, Content_Encoding=encoding
    )
