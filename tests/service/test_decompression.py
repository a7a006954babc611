"""Laws of compressed bodies: what is read, and what is refused before memory is taken for it."""

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decompression import MAX_MEMBERS, MAX_RATIO, MIN_RATIO_BYTES, Decompression
from service.errors import MalformedBodyError, TooLargeError
from service.inflight import InflightBudget
from tests.helpers.examples import examples

LIMIT = 2**26
MANY = 2**30


def read(body: bytes, encoding: str, limit: int = LIMIT, budget: int = MANY) -> bytes:
    with InflightBudget(budget).share() as share:
        stream = Decompression(body, encoding, limit, share)
        stream.read()
        assert share.held == stream.size
        return stream.content()


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(content) + stream.flush()


CONTENT = st.binary(max_size=200) | st.integers(0, 60_000).map(lambda n: b"0.5," * n)


@examples(40)
@given(CONTENT, st.lists(st.integers(0, 2**20), max_size=4), st.integers(0, 3), st.integers(1, 9))
def test_gzip_is_read_in_any_number_of_members_with_zeros_behind(
    content: bytes, cuts: list[int], zeros: int, level: int
) -> None:
    places = [0, *sorted(min(c, len(content)) for c in cuts), len(content)]
    members = [gzip.compress(content[a:b], level, mtime=0) for a, b in pairwise(places)]
    assert read((b"\0" * zeros).join([*members, b""]), "gzip") == content


@examples(40)
@given(CONTENT)
def test_deflate_is_read_with_and_without_the_frame_of_zlib(content: bytes) -> None:
    assert read(zlib.compress(content), "deflate") == content
    assert read(raw_deflate(content), "deflate") == content


@examples(40)
@given(CONTENT, st.sampled_from(["gzip", "deflate"]), st.floats(0, 1, exclude_max=True))
def test_whatever_is_cut_off_is_refused(content: bytes, encoding: str, part: float) -> None:
    whole = gzip.compress(content, mtime=0) if encoding == "gzip" else zlib.compress(content)
    with pytest.raises(MalformedBodyError):
        read(whole[: int(part * len(whole))], encoding)


def test_reading_may_stop_between_pieces_and_go_on() -> None:
    content = b"0.25," * 100_000
    with InflightBudget(MANY).share() as share:
        stream = Decompression(gzip.compress(content), "gzip", LIMIT, share)
        assert not stream.read(2**16)
        assert stream.size < 2**18
        assert stream.read()
        assert stream.content() == content


def test_what_holds_far_more_than_its_size_is_refused_before_it_is_made() -> None:
    small, large = zlib.compress(bytes(MIN_RATIO_BYTES)), zlib.compress(bytes(2**24))
    assert len(read(small, "deflate")) == MIN_RATIO_BYTES
    tracemalloc.start()
    with pytest.raises(TooLargeError, match=f"{MAX_RATIO} times"):
        read(large, "deflate")
    with pytest.raises(TooLargeError, match="1000 bytes, this one has more when decompressed"):
        read(large, "deflate", limit=1000)
    with pytest.raises(TooLargeError, match="all requests in progress may take 131072"):
        read(large, "deflate", budget=2**17)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * max(MIN_RATIO_BYTES, MAX_RATIO * len(large))


def test_members_without_end_and_zeros_without_end_are_read_once() -> None:
    empty = gzip.compress(b"", mtime=0)
    assert read(empty * MAX_MEMBERS, "gzip") == b""
    with pytest.raises(TooLargeError, match=f"{MAX_MEMBERS} members"):
        read(empty * (MAX_MEMBERS + 1), "gzip")
    assert read(empty + bytes(2**22), "gzip") == b""
