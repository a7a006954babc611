"""Sheets of pictures: the values of an answer as bytes, each at its place."""

import io
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.bundle import Picture
from service.codecs.png import GAP, MAX_PIXELS, MAX_SIDE, PngCodec, Sheet
from service.errors import NotAcceptableError
from service.operations import Answer, InterpolateRequest, SampleRequest
from tests.helpers.examples import examples
from tests.helpers.http import assert_problem

PNG = {"accept": "image/png"}
DIGITS = {"model": "digits-maf"}

Bytes = NDArray[np.uint8]


def read(content: bytes) -> Bytes:
    """A sheet as Pillow reads it: height × width × channels."""
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    assert image.mode in ("L", "RGB")
    return np.atleast_3d(np.asarray(image))


def cut(sheet: Bytes, shape: tuple[int, int, int]) -> Bytes:
    """The pictures of a sheet row by row, N × channels × height × width; white between them."""
    channels, height, width = shape
    padded = np.pad(sheet, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
    rows, columns = padded.shape[0] // (height + GAP), padded.shape[1] // (width + GAP)
    cells = padded.reshape(rows, height + GAP, columns, width + GAP, channels)
    assert (cells[:, height:] == 255).all()
    assert (cells[:, :, :, width:] == 255).all()
    inside = cells[:, :height, :, :width]
    return inside.transpose(0, 2, 4, 1, 3).reshape(rows * columns, channels, height, width)


def written(picture: Picture, rows: Any, is_path: bool = False) -> Bytes:
    manifest: Any = SimpleNamespace(name="pictures", picture=picture)
    return read(PngCodec().dump(manifest, Answer({"x": rows}, is_path=is_path), None))


@examples(30)
@given(
    st.sampled_from([1, 3]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 9),
    st.sampled_from([(0.0, 255.0), (0.0, 16.0), (-1.0, 1.0), (3.0, 3.0)]),
    st.booleans(),
    st.booleans(),
)
def test_each_picture_is_at_its_place(
    channels: int,
    height: int,
    width: int,
    n: int,
    ends: tuple[float, float],
    is_whole: bool,
    is_path: bool,
) -> None:
    low, high = ends
    shape = channels, height, width
    middle, reach = (low + high) / 2, high - low + 1
    x = np.random.default_rng(n).uniform(middle - reach, middle + reach, (n, *shape))
    sheet = written(Picture(shape, low, high, is_whole), x.astype(np.float32), is_path)
    found = cut(sheet, shape)
    values = (np.round(x.astype(np.float32)) if is_whole else x).clip(low, high)
    expected = np.rint((values - low) * (255 / ((high - low) or 1)))
    np.testing.assert_allclose(found[:n], expected, atol=0 if is_whole else 1)
    assert (found[n:] == 255).all()
    if is_path:
        assert sheet.shape[0] == height


@examples(50)
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(1, 40))
def test_a_sheet_is_about_a_square_without_an_empty_row_or_column(
    n: int, height: int, width: int
) -> None:
    sheet = Sheet.of(Picture((1, height, width), 0, 1, is_whole=True), n, is_path=False)
    rows = -(-n // sheet.columns)
    assert 0 <= rows * sheet.columns - n < sheet.columns
    if sheet.columns > 1:  # one column fewer makes it higher than wide
        narrower = -(-n // (sheet.columns - 1)) * (height + GAP)
        assert narrower >= (sheet.columns - 1) * (width + GAP)
    assert sheet.width <= sheet.height + 2 * (width + GAP + height)


def test_whole_values_of_bytes_are_the_bytes_and_each_coordinate_has_its_range() -> None:
    x = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    sheet = written(Picture((1, 16, 16), 0, 255, is_whole=True), x)
    np.testing.assert_array_equal(sheet[..., 0], x[0, 0])
    low, high = [0.0, 4.0], [10.0, 8.0]
    sheet = written(Picture((1, 1, 2), low, high, is_whole=False), np.full((1, 1, 1, 2), 99.0))
    np.testing.assert_array_equal(sheet[..., 0], [[255, 204]])


def test_a_row_without_an_answer_is_white() -> None:
    x = np.zeros((3, 1, 2, 2), np.float32)
    x[1] = np.nan
    found = cut(written(Picture((1, 2, 2), 0, 1, is_whole=True), x), (1, 2, 2))
    assert [(each == 255).all() for each in found] == [False, True, False, True]


def test_a_large_sheet_comes_in_pieces_and_is_the_same() -> None:
    manifest: Any = SimpleNamespace(name="p", picture=Picture((3, 9, 7), 0, 1, is_whole=False))
    answer = Answer({"x": np.random.default_rng(0).random((500, 3, 9, 7), np.float32)})
    length, pieces = PngCodec().pieces(manifest, answer, None)
    each = list(pieces)
    assert length is None
    assert len(each) > 20
    assert b"".join(each) == PngCodec().dump(manifest, answer, None)


def test_limits_are_looked_at_before_anything_is_drawn() -> None:
    manifest: Any = SimpleNamespace(name="p", picture=Picture((1, 28, 28), 0, 1, is_whole=True))
    codec = PngCodec()
    most = next(
        n for n in range(MAX_PIXELS // 900 + 99, 0, -1) if Sheet.of(manifest.picture, n, False).fits
    )
    assert most > 4600
    assert codec.too_large(manifest, SampleRequest(n=most)) is None
    for n in (most + 1, 10**4299):
        said = codec.too_large(manifest, SampleRequest(n=n)) or ""
        assert "28 × 28 pixels for one; ask for fewer, or for application/x-npy" in said
    start = end = np.zeros(784, np.float32)
    longest = (MAX_SIDE + GAP) // (28 + GAP)
    assert (
        codec.too_large(manifest, InterpolateRequest(steps=longest, start=start, end=end)) is None
    )
    longer = InterpolateRequest(steps=longest + 1, start=start, end=end)
    said = codec.too_large(manifest, longer) or ""
    assert f"{MAX_SIDE} along a side" in said
    wide: Any = SimpleNamespace(
        name="p", picture=Picture((1, 1, MAX_SIDE + 1), 0, 1, is_whole=True)
    )
    assert "larger than a sheet" in (codec.refusal(SampleRequest, wide, None) or "")
    with pytest.raises(NotAcceptableError, match="no sheet of no pictures"):
        codec.dump(manifest, Answer({"x": np.zeros((0, 784), np.float32)}), None)


def quantized(client: httpx.Client, question: str, /, **body: Any) -> NDArray[np.float64]:
    """The rows that JSON answers with, of whole numbers from 0 to 16, as bytes: N × 8 × 8."""
    x = np.array(client.post(question, json=DIGITS | body).json()["x"])
    return np.rint(np.round(x).clip(0, 16) * (255 / 16)).reshape(-1, 1, 8, 8)


def test_answers_of_a_server_are_sheets(client: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    start, end = rng.integers(0, 17, (2, 64)).tolist()
    for path, body, columns in (
        ("/sample", {"n": 7, "seed": 3}, 3),
        ("/sample", {"n": 1, "seed": 3}, 1),
        ("/decode", {"z": rng.normal(size=(4, 64)).tolist()}, 2),
        ("/interpolate", {"start": start, "end": end, "steps": 5, "path": "geodesic"}, 5),
    ):
        answer = client.post(path, json=DIGITS | body, headers=PNG)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-bijecta-model"] == "digits-maf"
        assert answer.headers.get("x-bijecta-seed") == ("3" if path == "/sample" else None)
        sheet, expected = read(answer.content), quantized(client, path, **body)
        assert sheet.shape[1] == columns * (8 + GAP) - GAP
        np.testing.assert_array_equal(cut(sheet, (1, 8, 8))[: len(expected)], expected)


def test_a_sheet_that_is_sent_in_pieces_is_whole(client: httpx.Client) -> None:
    body = {"n": 1000, "seed": 3}
    answer = client.post("/sample", json=DIGITS | body, headers=PNG)
    assert answer.headers["transfer-encoding"] == "chunked"
    found = cut(read(answer.content), (1, 8, 8))[:1000]
    np.testing.assert_array_equal(found, quantized(client, "/sample", **body))
    images = {"model": "digits-image", "n": 2, "seed": 1, "context": [[4]]}
    answer = client.post("/sample", json=images, headers=PNG)
    assert read(answer.content).shape == (8, 18, 1)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/sample", {"model": "moons-maf"}, 406, "image/png: rows of moons-maf are no pictures"),
        ("/decode", {"model": "moons-maf", "z": [[0, 0]]}, 406, "are no pictures"),
        ("/log_prob", DIGITS | {"x": [[0.0] * 64]}, 406, "image/png holds x"),
        ("/encode", DIGITS | {"x": [[0.0] * 64]}, 406, "image/png holds x"),
        ("/sample?output=log_prob", DIGITS, 406, "image/png holds x"),
        ("/sample", DIGITS | {"n": 0}, 406, "there is no sheet of no pictures"),
        ("/sample", DIGITS | {"n": 60_000}, 413, "too many pictures of 8 × 8 pixels"),
        ("/decode", DIGITS | {"z": 3}, 422, "z: expected"),
        ("/sample", DIGITS | {"temperature": -1}, 422, "temperature"),
    ],
)
def test_what_is_no_sheet_is_refused(
    client: httpx.Client, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    assert_problem(client.post(path, json=body, headers=PNG), status, words)
