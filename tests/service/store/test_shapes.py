"""A manifest's shapes are compared with the graphs' own before anything is made of them."""

import asyncio
import json
import re
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest
from onnx import helper

from service.bundle import BundleError, sha256
from service.engine import Engine
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader, Store
from service.store.refusal import refusal
from service.types import Arrays
from tests.helpers.bad_bundles import replace_graph
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle

ENSEMBLES = Path(__file__).parents[2] / "stored" / "format_2_ensembles" / "store"


def loader() -> Loader:
    return Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())


def peak() -> int:
    """Most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_manifest_of_a_larger_shape_costs_no_memory(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path, "tiny")
    edit(path, event_shape=[2**24], latent_shape=[2**24], self_test=None)
    before = peak()
    words = r"encode\.onnx has x of float32 N × 2, where .* N × 16777216"
    with pytest.raises(BundleError, match=words):
        loader().load(path, Cancellation())
    assert peak() - before < 2**25


GRAPHS: dict[str, tuple[dict[str, Sequence[str | int]], dict[str, Sequence[str | int]], str]] = {
    "of one row": ({"x": [1, 2]}, {"z": [1, 2]}, "x of .* 1 × 2"),
    "of more sides": ({"x": ["N", 2, 1]}, {"z": ["N", 2, 1]}, "x of .* N × 2 × 1"),
    "with another output": ({"x": ["N", 2]}, {"y": ["N", 2]}, "has no z"),
    "with a context": ({"x": ["N", 2], "context": ["N", 2]}, {"z": ["N", 2]}, "'context'"),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_of_another_kind_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    inputs, outputs, words = GRAPHS[kind]
    path = write_tiny_bundle(tmp_path, "tiny")
    (output,) = outputs
    nodes = [
        helper.make_node("Identity", ["x"], [output]),
        helper.make_node("ReduceSum", ["x", "axes"], ["log_prob"], keepdims=0),
    ]
    replace_graph(path, "encode.onnx", nodes, inputs, outputs, [])

    async def work() -> str:
        store = Store(tmp_path, loader(), None, None)
        await store.refresh()
        refused = store.entries["tiny"][1].refused
        store.close()
        return refused

    refused = asyncio.run(work())
    assert refused.startswith("tiny/1 could not be loaded: ")
    with pytest.raises(BundleError, match=words):
        raise BundleError(refused)
    assert str(tmp_path) not in refused


ANSWERS = {
    "tiny": [("decode", "x"), ("decode", "log_prob"), ("encode", "z"), ("encode", "log_prob")],
    "typed": [("decode", "x"), ("encode", "z")],
    "detector": [("score", "score"), ("neighbours", "values")],
    "maf-nsf": [("decode", "x"), ("encode", "member_log_prob")],
}


@pytest.mark.parametrize(
    ("name", "graph", "output"), [(name, *each) for name in ANSWERS for each in ANSWERS[name]]
)
def test_an_answer_of_another_shape_than_the_manifest_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, graph: str, output: str
) -> None:
    """As that of a graph whose outputs have sides without a number."""
    write_tiny_bundle(tmp_path, "tiny")
    write_typed_bundle(tmp_path)
    write_detector_bundle(tmp_path)
    (tmp_path / "maf-nsf").symlink_to(ENSEMBLES / "maf-nsf")
    real = Engine.try_run

    def wider(self: Engine, asked: str, feeds: Arrays, outputs: tuple[str, ...]) -> Arrays:
        answers = real(self, asked, feeds, outputs)
        if asked == graph:
            answers = answers | {output: answers[output][..., None]}
        return answers

    path = tmp_path / name / "1"
    monkeypatch.setattr(Engine, "try_run", wider)
    with pytest.raises(BundleError, match=f"the graph {graph} answers {output} of shape"):
        loader().load(path, Cancellation())


@pytest.mark.parametrize("content", [b"no graph", b""])
def test_what_onnxruntime_says_names_no_path(tmp_path: Path, content: bytes) -> None:
    path = write_tiny_bundle(tmp_path, "tiny")
    (path / "encode.onnx").write_bytes(content)
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {"encode.onnx": sha256(path / "encode.onnx")})

    async def work() -> str:
        store = Store(tmp_path, loader(), None, None)
        await store.refresh()
        refused = store.entries["tiny"][1].refused
        store.close()
        return refused

    refused = asyncio.run(work())
    assert refused.startswith("tiny/1 could not be loaded: ")
    assert not re.search(r"(?<!tiny)(?<!\w)/\w", refused)


def test_an_error_of_onnxruntime_names_no_path_whatever_folder_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "1"
    text = f"Load model from {folder}/encode.onnx failed: /onnxruntime_src/core/graph.cc:1345 {{}}"
    reason = refusal(folder, RuntimeError(text)).reason
    assert reason.endswith("Load model from tiny/1/encode.onnx failed: graph.cc:1345 {}")
