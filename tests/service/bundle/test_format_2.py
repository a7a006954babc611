"""Format 2 of the manifest: typed columns, read and refused by kind, and as the graphs are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from service import bundle
from service.bundle import BundleError, TableManifest
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader
from service.tables import CategoricalColumn, DatetimeColumn, LatticeColumn, NumericColumn
from tests.helpers.stores import edit
from tests.helpers.typed import ROW, write_typed_bundle

Content = dict[str, Any]


def load(path: Path) -> None:
    loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
    loader.load(path, Cancellation()).engine.close()


def content(path: Path) -> Content:
    manifest: Content = json.loads((path / "manifest.json").read_text())
    return manifest


@pytest.mark.parametrize("context", [False, True])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, context: bool) -> None:
    path = write_typed_bundle(tmp_path, context=context)
    manifest = bundle.read(path)
    assert isinstance(manifest, TableManifest)
    kinds = [NumericColumn, LatticeColumn, CategoricalColumn, DatetimeColumn]
    assert [type(column) for column in manifest.columns] == kinds
    # what is written of it is what it was read from, beside defaults
    written = json.loads(manifest.model_dump_json())
    assert type(manifest).model_validate(written) == manifest
    for key, value in content(path).items():
        if key not in ("columns", "context"):
            assert written[key] == value, key
    load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 3}, "format_version 3; this program reads 1 and 2"),
        (
            {"kind": "choir"},
            "of kind 'choir'; of format_version 2 this program reads table, detector, ensemble",
        ),
        ({"kind": None}, "damaged: kind"),
        ({"format_version": 1}, "damaged"),
    ],
)
def test_other_formats_and_kinds_are_refused_by_name(
    tmp_path: Path, change: Content, words: str
) -> None:
    path = write_typed_bundle(tmp_path)
    edit(path, **change)
    with pytest.raises(BundleError, match=words):
        bundle.read(path)


def twice(manifest: Content) -> None:
    manifest["left_out"][0]["name"] = "amount"


def no_decode(manifest: Content) -> None:
    del manifest["graphs"]["decode"]


def no_u(manifest: Content) -> None:
    del manifest["graphs"]["encode"]["inputs"]["u"]


def single(manifest: Content) -> None:
    manifest["graphs"]["encode"]["outputs"]["z"]["type"] = "float32"


def unsaid_values(manifest: Content) -> None:
    manifest["raw_values"].remove("self_test")


def short_row(manifest: Content) -> None:
    manifest["self_test"]["row"].pop()


def no_columns(manifest: Content) -> None:
    manifest["columns"] = []


def unknown_kind(manifest: Content) -> None:
    manifest["columns"][0]["kind"] = "number"


def infinite(manifest: Content) -> None:
    manifest["columns"][0]["high"] = 1e999


def unknown_key(manifest: Content) -> None:
    manifest["members"] = 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (twice, "a name is there twice"),
        (no_decode, "graphs are encode and decode"),
        (no_u, "encode is to have z, x, log_prob, u"),
        (single, "encode is to have .* of float64"),
        (unsaid_values, "carries classes, point_masses, ranges, self_test"),
        (short_row, "self_test holds no row"),
        (no_columns, "columns: "),
        (unknown_kind, "columns.0: "),
        (infinite, "columns.0.numeric.high"),
        (unknown_key, "members: "),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, spoil: Callable[[Content], None], words: str
) -> None:
    path = write_typed_bundle(tmp_path)
    changed = content(path)
    spoil(changed)
    edit(path, **changed)
    with pytest.raises(BundleError, match=words):
        bundle.read(path)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"row": ROW, "context": None, "log_prob": 1.0}, "fails its self-test"),
        ({"row": [0.1, 0.34, None, ROW[3]], "context": None, "log_prob": 1.0}, "'count': expected"),
        ({"row": [None, 0.3, None, ROW[3]], "context": None, "log_prob": 1.0}, "'amount': expect"),
    ],
)
def test_a_row_tells_graphs_that_answer_otherwise(
    tmp_path: Path, test: Content, words: str
) -> None:
    path = write_typed_bundle(tmp_path)
    edit(path, self_test=test)
    with pytest.raises(BundleError, match=words):
        load(path)


def test_graphs_of_other_types_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    path = write_typed_bundle(tmp_path)
    graph = onnx.load(path / "encode.onnx")
    graph.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    cast = onnx.helper.make_node("Cast", ["x"], ["wide"], to=onnx.TensorProto.DOUBLE)
    for node in graph.graph.node:
        node.input[:] = ["wide" if name == "x" else name for name in node.input]
    graph.graph.node.insert(0, cast)
    onnx.save(graph, path / "encode.onnx")
    edit(path, files=content(path)["files"] | {"encode.onnx": bundle.sha256(path / "encode.onnx")})
    words = r"encode.onnx has x of float32 N × 4, where the manifest says float64 N × 4"
    with pytest.raises(BundleError, match=words):
        load(path)
