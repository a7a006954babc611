"""Texts of callers: one long text does not make all others long, and none are made that no shape
names."""

import tracemalloc

import pyarrow as pa
import pytest

from service.errors import MalformedBodyError
from service.open_inference import tensors
from service.open_inference.tensors import Input
from tests.helpers.http import ARROW
from tests.helpers.parsers import SCHEMAS, arrow_stream, read_body
from tests.helpers.reading import unbounded

MIB = 2**20


@pytest.mark.parametrize("kind", ["query string", "table"])
def test_a_long_text_makes_no_other_long(kind: str) -> None:
    cells = ["x" * 30_000, *["y"] * 10_000]
    body = arrow_stream({"context": pa.array(cells)})
    tracemalloc.start()
    if kind == "table":
        request = read_body(SCHEMAS["sample"], ARROW, body)
    else:
        request = read_body(SCHEMAS["sample"], "", b"", {"context": ",".join(cells)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert request.context.ravel().tolist() == cells
    assert peak < 4 * MIB


def test_no_more_texts_are_made_than_a_shape_names() -> None:
    tensor = Input(name="context", shape=[2], datatype="BYTES")
    tracemalloc.start()
    with pytest.raises(MalformedBodyError, match="holds 2 values, 3 came"):
        tensors.from_binary(tensor, memoryview(bytes(8 * MIB)), unbounded())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB + 8 * MIB
