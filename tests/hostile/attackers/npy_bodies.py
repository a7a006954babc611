"""npy whose dtype, shape or header is not what it should be, and as much as the limit allows."""

import io
from functools import partial
from typing import Any

import numpy as np

from tests.hostile.attacker import REFUSED, Make, body_attacker

NPY_TYPE = "application/x-npy"
ANSWERED = REFUSED | {200}
LIMIT = 64 * 2**20


def of_dtype(dtype: str, scale: float) -> bytes:
    """An array of N × 2 just below the limit."""
    kind = np.dtype(dtype)
    rows = max(1, int((LIMIT * scale - 200) / 2 / kind.itemsize))
    return saved(np.zeros((rows, 2), kind))


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def of_header(text: str, values: bytes = b"", version: int = 1) -> bytes:
    """Magic, version, and any header."""
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + values


def described(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def long_header(scale: float) -> bytes:
    return of_header(described("(1, 2)") + " " * int(60e6 * scale), bytes(8), version=2)


def deep_header(scale: float) -> bytes:
    depth = max(10, int(30e6 * scale))
    return of_header(described("(" * depth + ")" * depth), b"", version=2)


def long_shape(scale: float) -> bytes:
    return of_header(described("(" + "1," * int(20e6 * scale) + ")"), bytes(4), version=2)


def many_fields(scale: float) -> bytes:
    fields = ",".join(f"('f{i}', '<f4')" for i in range(max(1, int(1e6 * scale))))
    return of_header(described("(1,)", f"[{fields}]"), b"", version=2)


def many_sizes(_: float) -> bytes:
    return of_header(described(str((2**62, 2**62, 2))))


def of_true(_: float) -> bytes:
    return of_header(described("(True, 2)"), bytes(8))


def of_nothing(_: float) -> bytes:
    return of_header(described(str((2**62, 0))))


def of_objects(_: float) -> bytes:
    return of_header(described("(1, 2)", "'|O'"), b"cos\nsystem\n(S'true'\ntR.")


def wide_text(scale: float) -> bytes:
    """Text as wide as the body, of code points that do not exist."""
    width = max(1, int(15e6 * scale))
    return of_header(described("(1, 1)", f"'<U{width}'"), b"\xff\xff\xff\x7f" * width)


def rows_of_limit(scale: float) -> bytes:
    """As many rows as one request may have."""
    rows = max(1, int(65_536 * scale))
    return saved(np.random.default_rng(0).normal(size=(rows, 2)).astype("<f4"))


def fortran(scale: float) -> bytes:
    rows = max(1, int(65_536 * scale))
    return saved(np.asfortranarray(np.zeros((rows, 2), "<f8")))


def of(*dtypes: str) -> tuple[Make, ...]:
    return tuple(partial(of_dtype, dtype) for dtype in dtypes)


BODIES: tuple[tuple[Any, ...], ...] = (
    ("npy-bool", "B6", "64 MiB of booleans hold nobody up", *of("?")),
    ("npy-bytes", "B6", "64 MiB of bytes hold nobody up", *of("S1", "S64")),
    ("npy-numbers", "B6", "64 MiB of numbers hold nobody up", *of("<i1", "<f2", "<f4", ">f8")),
    (
        "npy-odd-dtypes",
        "B6",
        "what is no number is refused by its dtype",
        *of("<U1", "<c8", "<M8[s]", "V1"),
        wide_text,
    ),
    (
        "npy-headers",
        "B6",
        "headers are refused by their length",
        long_header,
        deep_header,
        long_shape,
        many_fields,
    ),
    (
        "npy-shapes",
        "B11",
        "shapes that cannot be are refused, and nothing is unpickled",
        many_sizes,
        of_true,
        of_nothing,
        of_objects,
    ),
    (
        "npy-rows-of-limit",
        "vii",
        "requests of the most rows, without pause",
        rows_of_limit,
        fortran,
    ),
)

for name, line, guards, *make in BODIES:
    body_attacker(
        name, line, guards, *make, path="/log_prob?model=tiny", kind=NPY_TYPE, expected=ANSWERED
    )
