"""Inputs that are almost right: what is changed is a byte, a number, a token, or the structure."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence

MAX_BYTES = 4096
"""Of a small input."""

Mutation = Callable[[random.Random, bytes], bytes]

BYTES = (0, 1, 2, 0x7F, 0x80, 0xFF, 10, 13, 32, 34, 44, 46, 58, 61, 91, 93, 123, 125)
WHOLE = (0, 1, 2, 3, 7, 8, 255, 256, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32, 2**62)
WHOLE_NEGATIVE = (-1, -2, -8, -128, -(2**15), -(2**31), -(2**63))

TOKENS = (
    b"null", b"true", b"false", b"NaN", b"-Infinity", b"1e400", b"-1e-400", b"0.1", b"-0",
    b"9" * 25, b"9" * 400, b"1e38", b"3.5e38", b"18446744073709551616", b"-9223372036854775809",
    b'""', b'"a"', b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"' + b"a" * 300 + b'"', b"[]", b"{}",
    b"[[]]", b"[null]", b"[" * 40, b"]" * 40, b'{"a":' * 20, b"[1,2,3]", b"[[1,2],[3]]", b'{"x":1}',
    b"01", b"+1", b".5", b"1.", b"0x10", b"1_000", b"\xef\xbb\xbf", b"\xc0\x80", b"/**/", b"'a'",
)  # fmt: skip
NAMES = (
    b"x", b"z", b"n", b"start", b"end", b"steps", b"path", b"seed", b"model", b"version",
    b"context", b"dequantize", b"temperature", b"truncation", b"quantize", b"inputs", b"outputs",
    b"name", b"shape", b"datatype", b"data", b"parameters", b"binary_data_size", b"binary_data",
    b"id", b"ready", b"partial", b"output", b"descr", b"fortran_order", b"FP32", b"BYTES",
    b"INT64", b"BOOL", b"FP16", b"BF16", b"UINT8", b"classification", b"shared_memory_region",
)  # fmt: skip
HEADERS = (
    b"*/*", b"application/json", b"application/x-npy", b"audio/wav", b"image/png", b"q=0",
    b"q=1.0000", b"q=nan", b"q=", b";", b",", b"/", b"text/*", b"*", b"inf", b"nan", b"-1",
    b"1e309", b"1_0", b"\xb2", b"%00", b"%ff", b"%", b"&", b"=", b"+", b"a=b", b"%22",
    b"context=", b"n=", b"\x00", b"  ",
)  # fmt: skip
CELLS = (
    b'"', b'""', b",", b"\n", b"\r", b"\r\n", b",,", b"NA", b"nan", b"-inf", b"?", b"0.30", b"1,5",
    b"2024-02-30", b"2024-02-29T25:00", b"29.02.2024", b"\xef\xbb\xbf", b"\xff", b"\0", b"=1+1",
    b"amount", b"country", b"(other)", b"true", b"\xe2\x80\xa8", b" ", b"#", b";", b"\t",
)  # fmt: skip
DESCRS = (
    b"'<f4'", b"'>f8'", b"'|b1'", b"'|S5'", b"'<U2'", b"'|O'", b"'<c16'", b"'<M8[ns]'", b"'|V0'",
    b"'<f16'", b"'<U999999999'", b"[('a', '<f4')]", b"[('x', '<f4', (3,))]", b"'<i8'", b"3",
    b"None",
)  # fmt: skip
SHAPES = (
    b"()", b"(0,)", b"(-1, 2)", b"(True, 2)", b"(3, 2)", b"(1e2,)", b"(4611686018427387904, 2)",
    b"(0, 9223372036854775807)", b"(9999999999999999999999,)", b"[3, 2]", b"3", b"(3, 2, 1)",
    b"(" + b"1," * 70 + b")", b"(2, (1,))", b"(1j,)", b"(3, 2,", b"(--1, 2)", b"(None,)",
)  # fmt: skip


def flip(chance: random.Random, data: bytes) -> bytes:
    """A few bytes are others."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        changed[chance.randrange(len(data))] = (
            chance.choice(BYTES) if chance.random() < 0.6 else (chance.randrange(256))
        )
    return bytes(changed)


def cut(chance: random.Random, data: bytes) -> bytes:
    """A slice is missing."""
    start = chance.randrange(len(data))
    length = min(len(data) - start, chance.choice((1, 1, 2, 4, 8, 64, 4096)))
    return data[:start] + data[start + length :]


def repeat(chance: random.Random, data: bytes) -> bytes:
    """A slice comes several times."""
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 2, 4, 8, 16, 64))]
    return data[:start] + piece * chance.choice((2, 2, 3, 10, 200)) + data[start:]


def number(chance: random.Random, data: bytes) -> bytes:
    """A number of 1 to 8 bytes is another, of the least or the largest that there are."""
    size, code = chance.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    place = chance.randrange(len(data))
    if chance.random() < 0.7:
        place -= place % size  # where numbers lie
    value = chance.choice(WHOLE if chance.random() < 0.7 else WHOLE_NEGATIVE)
    if chance.random() < 0.2 and place + size <= len(data):
        value = struct.unpack_from(f"<{code}", data, place)[0] + chance.choice((-8, -1, 1, 8))
    packed = struct.pack(f"<{code}", value % 2 ** (8 * size))
    return data[:place] + packed + data[place + size :]


def token(words: Sequence[bytes]) -> Mutation:
    """A word takes the place of another, or stands between them."""

    def put(chance: random.Random, data: bytes) -> bytes:
        places = [i for i, byte in enumerate(data) if byte in b'"[]{}:,;=& ']
        start = chance.choice(places) if places else 0
        ends = [place for place in places if place > start]
        end = ends[0] if ends and chance.random() < 0.7 else start
        return data[: start + 1] + chance.choice(words) + data[end:]

    return put


def renamed(chance: random.Random, data: bytes) -> bytes:
    """A name is that of another field."""
    found = [name for name in NAMES if name in data]
    if not found:
        return flip(chance, data)
    return data.replace(chance.choice(found), chance.choice(NAMES), chance.choice((1, -1)))


def npy_header(chance: random.Random, data: bytes) -> bytes:
    """Another header before the same values."""
    version = chance.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\0\1"))
    order = chance.choice((b"False", b"True", b"0", b"None"))
    text = b"{'descr': %s, 'fortran_order': %s, 'shape': %s, }%s" % (
        chance.choice(DESCRS), order, chance.choice(SHAPES),
        b" " * chance.choice((0, 0, 10, 2000)),
    )  # fmt: skip
    size = len(text) + chance.choice((0, 0, 0, 0, 1, -1, 60_000))
    length = struct.pack("<H" if version == b"\1\0" else "<I", max(0, size))
    return b"\x93NUMPY" + version + length + text + data[-chance.choice((0, 4, 8, 24, 48)) :]


def compressed(inner: Sequence[Mutation], wbits: int) -> Mutation:
    """The content is another, compressed as it should be; several members, or none at the end."""

    def put(chance: random.Random, data: bytes) -> bytes:
        packer = zlib.compressobj(chance.choice((0, 1, 9)), wbits=wbits)
        content = chance.choice(inner)(chance, b'{"x": [[1, 2], [3, 4]]}')
        whole = packer.compress(content * chance.choice((1, 1, 50, 1000))) + packer.flush()
        tail = chance.choice((b"", b"", b"\0" * 9, b"x", whole[:7], whole, data))
        return whole + tail

    return put


PLAIN: tuple[Mutation, ...] = (flip, cut, repeat, number)
JSON: tuple[Mutation, ...] = (token(TOKENS), token(TOKENS), token(NAMES), renamed, *PLAIN)

BY_BEGINNING: dict[str, tuple[Mutation, ...]] = {
    "json": JSON,
    "v2": JSON,
    "npy": (npy_header, npy_header, *PLAIN),
    "csv": (token(CELLS), token(CELLS), token(TOKENS), *PLAIN),
    # its numbers are of as many bytes as they need
    "parquet": (flip, flip, number, *PLAIN),
    "arrow": (number, number, number, *PLAIN),
    "gzip": (compressed(JSON, 31), *PLAIN),
    "deflate": (compressed(JSON, 15), compressed(JSON, -15), *PLAIN),
    "": (token(HEADERS), token(TOKENS), renamed, *PLAIN),
}
"""The mutations of a parser, by the beginning of its name."""


def mutations(parser: str) -> tuple[Mutation, ...]:
    """Those that fit what a parser of this name reads."""
    return next(found for start, found in BY_BEGINNING.items() if parser.startswith(start))


def mutated(
    chance: random.Random, seeds: Sequence[bytes], using: Sequence[Mutation], limit: int = MAX_BYTES
) -> bytes:
    """A seed after one to four mutations, at times with the end of another seed."""
    data = chance.choice(seeds)
    if chance.random() < 0.05:
        other = chance.choice(seeds)
        data = data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(using)(chance, data or b"\0")
    return data[:limit]
