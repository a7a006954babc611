"""Compressed bodies, of native routes and of the Open Inference Protocol."""

import gzip
import json
import zlib

import httpx
import pytest

from tests.helpers.limited import assert_goes_on, assert_refused

GOOD = json.dumps({"model": "moons-maf", "x": [[0.5, -0.5]]}).encode()
ZIPPED = gzip.compress(GOOD, mtime=0)
BOMB = b" " * 2**24

CASES: dict[str, tuple[str, bytes, int, str]] = {
    "gzip": ("gzip", ZIPPED, 200, ""),
    "its other name": ("X-GZIP", ZIPPED, 200, ""),
    "deflate": ("deflate", zlib.compress(GOOD), 200, ""),
    "none": ("identity", GOOD, 200, ""),
    "gzip bomb": ("gzip", gzip.compress(BOMB), 413, "1048576 bytes, this one has more when decomp"),
    "deflate bomb": ("deflate", zlib.compress(BOMB), 413, "this one has more when decompressed"),
    "not compressed": ("gzip", GOOD, 400, "the body is not gzip data"),
    "gzip for deflate": ("deflate", ZIPPED, 400, "the body is not deflate data"),
    "empty": ("gzip", b"", 400, "its end is missing"),
    "cut off": ("gzip", ZIPPED[:-1], 400, "its end is missing"),
    "too long": ("gzip", ZIPPED + b"!", 400, "1 bytes follow the gzip data"),
    "unknown": ("br", GOOD, 415, "expected gzip, deflate or none, got br"),
    "twice": ("gzip, gzip", gzip.compress(ZIPPED), 415, "got gzip, gzip"),
}


@pytest.mark.parametrize("case", CASES)
def test_compressed_bodies_of_any_route(limited: httpx.Client, case: str) -> None:
    encoding, body, status, words = CASES[case]
    headers = {"content-encoding": encoding}
    answer = limited.post("/log_prob", content=body, headers=headers)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    infer = limited.post("/v2/models/moons-maf/infer", content=body, headers=headers)
    if status != 200:
        assert_refused(infer, status, words)
    assert_goes_on(limited)
