"""Batches are as large as memory allows, by the shapes in a graph's file."""

import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from service.bundle import Tensor, read_flow
from service.engine.engine import _load
from service.engine.session import OnnxGraph
from service.graphs import ARENA_FACTOR, GraphError, check, read_graph, row_bytes
from service.metrics import Metrics
from service.runtime import Cancellation, Device, batch_rows, enough_rows, measured_run
from service.runtime.batches import HANDLING_MS, LITTLE, MAX_MIB, MIN_ENOUGH_ROWS
from service.settings import ModelSettings
from service.store import Loader
from tests.helpers.heavy import WIDTH, write_heavy_bundle
from tests.helpers.stores import write_additions
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
    # for both threads together
    assert at_most(heavy) == MAX_MIB["cpu"] * 2**20 // (2 * estimate(heavy))
    assert 8 <= at_most(heavy) < 32
    assert at_most(heavy, rows=4) == 4
    assert at_most(heavy, mib=1) == 1
    assert at_most(heavy, mib=100_000) == 256
    gpu = batch_rows(estimate(heavy), Device("cuda"), 1)
    assert gpu in (512, 1024)  # a power of two, as its batches are


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_what_a_run_takes_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = write_heavy_bundle(tmp_path) / "encode.onnx"
    rows = {"x": np.ones((16, 2), np.float32)}
    figures = measured_run(path.read_bytes(), rows)
    assert figures is not None
    alive = 4 * 4 * WIDTH
    assert 0.9 * alive < figures.row_bytes < 2 * alive
    assert 0 < figures.single_ms < figures.batch_ms < 10_000
    assert measured_run(b"", rows) is None


def heavy_batch_rows(folder: Path, cost: Mapping[str, float] | None, **limits: int) -> int:
    """Rows of a run to encode of the heavy bundle, as a server has them, by its manifest."""
    path = write_heavy_bundle(folder)
    if cost is not None:
        write_additions(path, {"run_cost": {"encode": cost, "unknown": cost}})
    settings = ModelSettings.model_validate({"threads": 2, **limits})
    loader = Loader(Device.choose("cpu"), lambda _: settings, Metrics())
    model = loader.load(path, Cancellation())
    model.engine.close()
    return model.engine.batch_rows("encode")


# of which a run takes as long whatever its rows are
COST = {"row_bytes": 2_000_000, "rows": 16, "single_ms": 10.0, "batch_ms": 10.0}


def test_batches_are_bounded_by_what_was_measured_at_export(tmp_path: Path) -> None:
    by_shapes = heavy_batch_rows(tmp_path / "old", None)
    rows = heavy_batch_rows(tmp_path / "new", COST)
    assert rows == MAX_MIB["cpu"] * 2**20 // (2 * COST["row_bytes"])
    assert rows > 2 * by_shapes
    # more than the shapes say, too: they say nothing of what a kernel keeps beside
    heavier = COST | {"row_bytes": 20_000_000}
    assert heavy_batch_rows(tmp_path / "heavier", heavier) < by_shapes
    assert heavy_batch_rows(tmp_path / "set", COST, batch_mib=8) == 2


@pytest.mark.parametrize("row_bytes", [0, 1, 1000, 4 * 4 * WIDTH - 1])
def test_no_manifest_allows_more_than_what_is_alive_by_the_shapes(
    tmp_path: Path, row_bytes: int
) -> None:
    rows = heavy_batch_rows(tmp_path, COST | {"row_bytes": row_bytes})
    assert rows == MAX_MIB["cpu"] * 2**20 // (2 * 4 * 4 * WIDTH)


@pytest.mark.parametrize(
    ("of_run", "of_row", "expected"), [(0, 1000, 2), (2.7, 5, 20), (10, 5, 256), (0, 0, 256)]
)
def test_batches_have_no_more_rows_than_win_time(
    tmp_path: Path, of_run: float, of_row: float, expected: int
) -> None:
    """Of 20 rows, what a run takes by itself, and the engine, is 3 % of the time."""
    cost = COST | {"single_ms": of_run + of_row, "batch_ms": of_run + 16 * of_row}
    assert heavy_batch_rows(tmp_path, cost) == min(
        expected, MAX_MIB["cpu"] * 2**20 // (2 * COST["row_bytes"])
    )
    assert heavy_batch_rows(tmp_path / "set", cost, batch_rows=30) == 30


@given(of_run=st.floats(0, 1e6), of_row=st.floats(0, 1e6), rows=st.integers(2, 64))
def test_enough_rows_are_the_fewest_that_take_little_longer(
    of_run: float, of_row: float, rows: int
) -> None:
    enough = enough_rows(of_run + of_row, of_run + rows * of_row, rows)
    assert MIN_ENOUGH_ROWS <= enough <= 4096
    assume(of_row > 1e-6 * of_run)

    def share(of: int) -> float:
        """What a row has of what a run takes by itself, as a part of its own time."""
        return (of_run + HANDLING_MS) / max(of * of_row, 1e-300)

    assert enough == 4096 or share(enough) <= LITTLE * (1 + 1e-6)
    assert enough == MIN_ENOUGH_ROWS or share(enough - 1) >= LITTLE * (1 - 1e-6)


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
    options = graph._session.get_session_options()
    assert options.enable_mem_pattern is options.enable_mem_reuse is plans


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
