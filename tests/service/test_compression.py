"""Compressed bodies, of native routes and of the Open Inference Protocol."""

import gzip
import json
import zlib

import httpx
import pytest

from tests.service.test_open_inference_bad import assert_goes_on, assert_refused, limited

__all__ = ["limited"]  # a fixture

GOOD = json.dumps({"model": "moons-maf", "x": [[0.5, -0.5]]}).encode()


@pytest.mark.parametrize(
    ("encoding", "body", "status", "words"),
    [
        ("gzip", gzip.compress(GOOD), 200, ""),
        ("X-GZIP", gzip.compress(GOOD), 200, ""),
        ("deflate", zlib.compress(GOOD), 200, ""),
        ("identity", GOOD, 200, ""),
        ("gzip", gzip.compress(b" " * 2**28), 413, "1048576 bytes, this one has more when decomp"),
        ("deflate", zlib.compress(b" " * 2**28), 413, "this one has more when decompressed"),
        ("gzip", GOOD, 400, "the body is not gzip data"),
        ("deflate", gzip.compress(GOOD), 400, "the body is not deflate data"),
        ("gzip", b"", 400, "its end is missing"),
        ("gzip", gzip.compress(GOOD)[:-1], 400, "its end is missing"),
        ("gzip", gzip.compress(GOOD) + b"!", 400, "1 bytes follow the gzip data"),
        ("br", GOOD, 415, "expected gzip, deflate or none, got br"),
        ("gzip, gzip", gzip.compress(gzip.compress(GOOD)), 415, "got gzip, gzip"),
    ],
)
def test_compressed_bodies_of_any_route(
    limited: httpx.Client, encoding: str, body: bytes, status: int, words: str
) -> None:
    headers = {"content-encoding": encoding}
    answer = limited.post("/log_prob", content=body, headers=headers)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    infer = limited.post("/v2/models/moons-maf/infer", content=body, headers=headers)
    if status != 200:
        assert_refused(infer, status, words)
    assert_goes_on(limited)
