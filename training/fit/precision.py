"""The number type in which networks are trained: the recipe's, unless the CPU is slower by it."""

import time
from functools import cache

import torch

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

# A CPU without instructions for a narrow type converts each number. Milliseconds of a product of
# 512 × 512 matrices and its gradient, of a convolution of a WaveNet and of one of an image, on a
# core with AVX2 alone: float32 16, 42, 26; bfloat16 434, 625, 326. With AMX bfloat16 is faster.
MOST_TIMES = 1.5

WIDTH = 256
"""Of the matrices that are multiplied to find out."""


def precision_on(device: torch.device, name: str) -> torch.dtype | None:
    """The narrow number type of networks on a device; None for float32.

    Args:
        device: where they are trained.
        name: of `PRECISIONS`.
    """
    precision = PRECISIONS[name]
    if precision is None or device.type != "cpu" or _slowdown(precision) <= MOST_TIMES:
        return precision
    return None


def why_float32(device: torch.device, name: str) -> str | None:
    """Why networks are trained in float32 in place of a narrow type; None where they are not."""
    precision = PRECISIONS[name]
    if precision is None or precision_on(device, name) is not None:
        return None
    return f"this CPU takes {_slowdown(precision):.0f} times as long in {name}"


@cache
def _slowdown(precision: torch.dtype) -> float:
    """How many times longer this machine's CPU multiplies matrices of a type than of float32."""
    return _product_seconds(precision) / _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    """The least of a few times, in seconds: others may use the CPU meanwhile."""
    matrix = torch.ones(WIDTH, WIDTH, dtype=dtype)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return min(seconds)
