"""Batches are as large as memory allows, by the shapes in a graph's file."""

import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from service.bundle import Tensor, read_flow
from service.engine.engine import _load
from service.engine.session import OnnxGraph
from service.graphs import ARENA_FACTOR, GraphError, check, read_graph, row_bytes
from service.runtime import Cancellation, Device, batch_rows
from tests.helpers.heavy import WIDTH, write_heavy_bundle
from tests.helpers.tiny import write_tiny_bundle

STORED = Path(__file__).parents[2] / "stored" / "format_1" / "store"


def estimate(path: Path) -> int:
    graph = read_graph(path.read_bytes())
    check(graph)
    return row_bytes(graph)


def at_most(path: Path, threads: int = 2, **limits: int) -> int:
    return batch_rows(estimate(path), Device.choose("cpu"), threads, **limits)


def test_the_bytes_of_a_row_are_those_alive_at_once(tmp_path: Path) -> None:
    # a, b and c, when h is no longer needed
    heavy = write_heavy_bundle(tmp_path) / "encode.onnx"
    assert estimate(heavy) == ARENA_FACTOR * 4 * 4 * WIDTH
    tiny = write_tiny_bundle(tmp_path, "tiny") / "encode.onnx"
    assert 0 < estimate(tiny) <= ARENA_FACTOR * 16


def test_a_value_without_a_shape_is_taken_to_be_like_its_source(tmp_path: Path) -> None:
    path = write_heavy_bundle(tmp_path) / "encode.onnx"
    model = onnx.load(path)
    whole = estimate(path)
    del model.graph.value_info[1:]  # of all but h
    onnx.save(model, path)
    assert whole / 2 <= estimate(path) <= whole


def test_what_a_loop_and_a_function_hold_counts_while_they_run(tmp_path: Path) -> None:
    info, make = helper.make_tensor_value_info, helper.make_node
    wide: list[str | int | None] = ["N", 1000]
    body = helper.make_graph(
        [make("Identity", ["go"], ["gone"]), make("Exp", ["v"], ["e"]), make("Neg", ["e"], ["n"])],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("v", TensorProto.DOUBLE, wide),
        ],
        [info("gone", TensorProto.BOOL, []), info("n", TensorProto.DOUBLE, wide)],
        value_info=[info("e", TensorProto.DOUBLE, wide)],
    )
    function = helper.make_function(
        "bijecta", "twice", ["a"], ["d"],
        [make("Exp", ["a"], ["b"]), make("Exp", ["b"], ["c"]), make("Add", ["b", "c"], ["d"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            make("Loop", ["", "true", "x"], ["y"], body=body),
            make("twice", ["y"], ["z"], domain="bijecta"),
        ],
        "g",
        [info("x", TensorProto.DOUBLE, wide)],
        [info("z", TensorProto.DOUBLE, wide)],
        [helper.make_tensor("true", TensorProto.BOOL, [], [True])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("bijecta", 1)]
    path = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[function]), path)
    # y, the function's b, c and d, and z
    assert estimate(path) == ARENA_FACTOR * 5 * 8000


def test_heavy_graphs_have_fewer_rows_and_small_ones_keep_theirs(tmp_path: Path) -> None:
    heavy = write_heavy_bundle(tmp_path) / "encode.onnx"
    # 256 MiB, for both threads together
    assert at_most(heavy) == 256 * 2**20 // (2 * estimate(heavy))
    assert 16 <= at_most(heavy) < 32
    assert at_most(heavy, rows=4) == 4
    assert at_most(heavy, mib=1) == 1
    assert at_most(heavy, mib=100_000) == 256
    gpu = batch_rows(estimate(heavy), Device("cuda"), 1)
    assert gpu in (512, 1024)  # a power of two, as its batches are


@pytest.mark.parametrize(("name", "plans"), [("tiny", True), ("heavy", False)])
def test_memory_of_heavy_graphs_is_not_planned_ahead(
    tmp_path: Path, name: str, plans: bool
) -> None:
    path = (write_heavy_bundle if name == "heavy" else write_tiny)(tmp_path) / "encode.onnx"
    device = Device.choose("cpu")
    content = path.read_bytes()
    references = sys.getrefcount(content)
    graph = _load("encode", content, tensors(path), device, Cancellation())
    assert sys.getrefcount(content) == references  # a loaded graph does not keep its file
    assert isinstance(graph, OnnxGraph)
    assert graph._session is not None
    assert graph._session.get_session_options().enable_mem_pattern is plans


def tensors(path: Path) -> Mapping[str, Tensor]:
    return read_flow(path.parent).tensors["encode"]


def write_tiny(folder: Path) -> Path:
    return write_tiny_bundle(folder, "tiny")


@pytest.mark.parametrize("graph", sorted(STORED.glob("*/1/*.onnx")), ids=lambda p: p.parts[-3])
def test_no_small_flow_has_smaller_batches(graph: Path) -> None:
    assert estimate(graph) > 0
    assert at_most(graph, threads=8) == 256


def test_a_file_that_is_no_graph_is_said_to_be_none_and_takes_no_time(tmp_path: Path) -> None:
    """Cut off, and altered before that; or made up."""
    content = (STORED / "maf-digits" / "1" / "decode.onnx").read_bytes()
    drawn, path = random.Random(0), tmp_path / "graph.onnx"
    for turn in range(60):
        changed = bytearray(content)
        for _ in range(turn % 5):
            changed[drawn.randrange(min(len(changed), 4000))] = drawn.randrange(256)
        path.write_bytes(changed[: drawn.randrange(len(changed))])
        with pytest.raises(GraphError, match="is no ONNX graph"):
            estimate(path)
    for made_up in (
        b"",
        b"\x3a",
        b"\xff" * 100,
        b"\x3a\x05\x0a\x03\x0a\x01",
        drawn.randbytes(1000),
    ):
        path.write_bytes(made_up)
        with pytest.raises(GraphError, match="is no ONNX graph"):
            estimate(path)


WORK = """if True:
    import asyncio, math, re, sys
    from pathlib import Path

    import numpy as np

    from service.metrics import Metrics
    from service.runtime import Cancellation, Device
    from service.settings import ModelSettings
    from service.store import Loader

    settings = ModelSettings.model_validate({"batch_mib": 64})
    loader = Loader(Device.choose("cpu:2"), lambda _: settings, Metrics())
    model = loader.load(Path(sys.argv[1]), Cancellation())
    x = np.ones((256, 2), np.float32)

    async def work():
        for _ in range(2):  # the second run of a size is the first with a plan
            await model.engine.encode(x, None, ("log_prob",), math.inf)

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

    before = peak()
    asyncio.run(work())
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_stays_within_the_budget(tmp_path: Path) -> None:
    """256 rows of 1.6 MB: 400 MB in one batch, and as much again for onnxruntime's plan."""
    command = [sys.executable, "-c", WORK, str(write_heavy_bundle(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 64 * 2**20
