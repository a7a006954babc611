"""A graph that is more than bounded data is refused, in words, before onnxruntime sees it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from service.bundle import UnsafeBundleError, sha256
from service.graphs import GraphError, check, read_graph, reading, row_bytes
from service.graphs.reading import MAX_DEPTH
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader, Store
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.stored.files import FORMAT_1
from training.export.onnx_functions import DOMAIN

FLOAT = TensorProto.FLOAT
STORED = sorted(path for path in FORMAT_1.parent.glob("format_*/store/*/*/*.onnx"))


def call(name: str, domain: str = "bijecta") -> NodeProto:
    return helper.make_node(name, ["x"], ["y"], domain=domain)


def function(name: str, nodes: list[NodeProto], domain: str = "bijecta") -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("bijecta", 1)]
    return helper.make_function(domain, name, ["x"], ["y"], nodes, opsets)


def tensor(sides: list[int], raw: bytes = b"", name: str = "w") -> TensorProto:
    return TensorProto(name=name, dims=sides, data_type=FLOAT, raw_data=raw)


def elsewhere(location: str) -> TensorProto:
    external = TensorProto(name="w", dims=[2], data_type=FLOAT)
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value=location)
    return external


def only_said(location: str) -> TensorProto:
    """A tensor whose place is not said to be elsewhere, and which names a file all the same."""
    external = elsewhere(location)
    external.ClearField("data_location")
    return external


def with_weights(*weights: TensorProto) -> Callable[[ModelProto], None]:
    return lambda model: model.graph.initializer.extend(weights)


def with_nodes(*nodes: NodeProto) -> Callable[[ModelProto], None]:
    return lambda model: model.graph.node.extend(nodes)


def nested(node: NodeProto, depth: int) -> NodeProto:
    """A node within so many branches of If."""
    for _ in range(depth):
        branch = helper.make_graph([node], "branch", [], [])
        node = helper.make_node("If", ["true"], ["y"], then_branch=branch, else_branch=branch)
        del node.attribute[1:]
    return node


def in_a_branch(node: NodeProto) -> Callable[[ModelProto], None]:
    return with_nodes(nested(node, 2))


def constant(value: TensorProto, name: str = "c") -> NodeProto:
    return helper.make_node("Constant", [], [name], value=value)


def with_functions(*functions: onnx.FunctionProto) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.functions.extend(functions)
        model.graph.node.append(call("f0"))

    return change


def laughs(depth: int) -> list[onnx.FunctionProto]:
    """Functions of which each calls the next one eight times."""
    last = function(f"f{depth}", [helper.make_node("Neg", ["x"], ["y"])])
    return [function(f"f{i}", [call(f"f{i + 1}")] * 8) for i in range(depth)] + [last]


def with_value(sides: list[int | str]) -> Callable[[ModelProto], None]:
    value = helper.make_tensor_value_info("v", FLOAT, sides)
    return lambda model: model.graph.value_info.append(value)


def many_rows(model: ModelProto) -> None:
    """Values that are each within the limit, and that are alive at once."""
    for i in range(5):
        model.graph.value_info.append(helper.make_tensor_value_info(f"v{i}", FLOAT, ["N", 2**28]))
        model.graph.node.append(helper.make_node("Expand", ["x"], [f"v{i}"]))
    model.graph.node.append(helper.make_node("Sum", [f"v{i}" for i in range(5)], ["s"]))


def shaped(operation: str, inputs: list[str]) -> Callable[[ModelProto], None]:
    sides = helper.make_tensor("sides", TensorProto.INT64, [3], [2**20, 2**10, 8])

    def change(model: ModelProto) -> None:
        model.graph.initializer.append(sides)
        model.graph.node.append(helper.make_node(operation, inputs, ["large"]))

    return change


def sparse(model: ModelProto) -> None:
    weights = model.graph.sparse_initializer.add(dims=[2**40])
    weights.values.CopyFrom(tensor([1], bytes(4)))


def of_training(model: ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(GraphProto(name="steps"))


BAD: dict[str, tuple[Callable[[ModelProto], None], str, str]] = {
    "operator of another domain": (
        with_nodes(call("EPContext", "com.microsoft")),
        "operators",
        "'EPContext' of 'com.microsoft'",
    ),
    "operator in a branch": (in_a_branch(call("Read", "ai.mine")), "operators", "'Read' of"),
    "own function that is not there": (with_nodes(call("f9")), "operators", "'f9' of 'bijecta'"),
    "operator in a function": (
        with_functions(function("f0", [call("Read", "ai.mine")])),
        "operators",
        "'Read' of 'ai.mine'",
    ),
    "function of ONNX's domain": (
        with_functions(function("Neg", [call("f0")], domain="")),
        "operators",
        "defines functions of ''",
    ),
    "graph of training": (of_training, "operators", "training"),
    "absolute path": (with_weights(elsewhere("/etc/passwd")), "external-data", "another file"),
    "path upwards": (with_weights(elsewhere("../../w.bin")), "external-data", "another file"),
    "file of the bundle": (with_weights(elsewhere("w.bin")), "external-data", "another file"),
    "address in memory": (
        with_weights(elsewhere("*/_ORT_MEM_ADDR_/*")),
        "external-data",
        "another file",
    ),
    "place that is not said": (with_weights(only_said("w.bin")), "external-data", "another file"),
    "path in a node": (with_nodes(constant(elsewhere("/w.bin"))), "external-data", "another file"),
    "path in a branch": (in_a_branch(constant(elsewhere("/w"))), "external-data", "another file"),
    "path in a function": (
        with_functions(function("f0", [constant(elsewhere("/w.bin"))])),
        "external-data",
        "another file",
    ),
    "branches without end": (
        with_nodes(nested(call("Neg", ""), MAX_DEPTH + 2)),
        "nesting",
        "more than 16 deep",
    ),
    "function that calls itself": (
        with_functions(function("f0", [call("f0")])),
        "nesting",
        "more than 16 deep",
    ),
    "long chain of functions": (with_functions(*laughs(20)), "nesting", "more than 16 deep"),
    "functions that grow": (with_functions(*laughs(8)), "size", "35951179 nodes"),
    "two functions of a name": (
        with_functions(function("f0", []), function("f0", [])),
        "damaged",
        "twice",
    ),
    "weights that are not there": (
        with_weights(tensor([2**20, 2**20])),
        "shapes",
        "1099511627776 elements",
    ),
    "weights of a negative size": (with_weights(tensor([-1])), "shapes", "other data"),
    "more data than the shape": (with_weights(tensor([1], bytes(8))), "shapes", "other data"),
    "text": (
        with_weights(
            TensorProto(name="w", dims=[1], data_type=TensorProto.STRING, string_data=[b"text"])
        ),
        "damaged",
        "a tensor has what no tensor",
    ),
    "sides without end": (with_weights(tensor([1] * 17, bytes(4))), "shapes", "17 sides"),
    "sparse weights": (sparse, "shapes", "sparse"),
    "value of one shape": (with_value([2**20, 2**20]), "shapes", "4398046511104 bytes"),
    "value of large rows": (with_value(["N", 2**31]), "shapes", "'v' of 8589934592 bytes"),
    "value of negative sides": (with_value(["N", -1]), "shapes", "'v' of"),
    "rows of large values": (many_rows, "shapes", "bytes a row"),
    "ConstantOfShape": (shaped("ConstantOfShape", ["sides"]), "shapes", "by ConstantOfShape"),
    "Expand": (shaped("Expand", ["x", "sides"]), "shapes", "by Expand"),
    "Tile": (shaped("Tile", ["x", "sides"]), "shapes", "by Tile"),
    "no graph": (lambda model: model.ClearField("graph"), "damaged", "there is none in it"),
}


def change(path: Path, file: str, how: Callable[[ModelProto], None]) -> None:
    """Change a graph of a bundle, and its checksum in the manifest."""
    model = onnx.load(path / file)
    how(model)
    (path / file).write_bytes(model.SerializeToString())
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {file: sha256(path / file)})


def loader() -> Loader:
    return Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())


@pytest.mark.parametrize("kind", BAD)
def test_what_is_more_than_data_is_refused_before_it_is_run(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, code, words = BAD[kind]
    path = write_tiny_bundle(tmp_path, "tiny")
    change(path, "encode.onnx", how)

    def session(*_: object) -> None:
        raise AssertionError("onnxruntime got it")

    monkeypatch.setattr(Device, "session", session)
    with pytest.raises(UnsafeBundleError, match=words) as refused:
        loader().load(path, Cancellation())
    assert refused.value.kind == code
    assert str(refused.value).startswith("encode.onnx ")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_a_server_keeps_the_version_before(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "tiny")

    async def work() -> None:
        store = Store(tmp_path, loader(), None, None)
        await store.refresh()
        how, _, words = BAD["absolute path"]
        change(write_tiny_bundle(tmp_path, "tiny", version=2), "decode.onnx", how)
        await store.refresh()
        assert store.entries["tiny"][2].refused.startswith(
            "tiny/2 could not be loaded: decode.onnx"
        )
        assert words in store.entries["tiny"][2].refused
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 1
        store.close()

    asyncio.run(work())


def field(number: int, content: bytes) -> bytes:
    """A field of a message, as protobuf writes it."""
    tag, size = number << 3 | 2, len(content)
    head = [tag & 127 | 128, tag >> 7, size & 127 | 128, (size >> 7) & 127 | 128, size >> 14]
    return bytes(head) + content


def test_a_field_means_what_it_means_to_protobuf() -> None:
    """Of a tag beyond 32 bits protobuf drops the rest, and of what stands twice it makes one."""
    tag = (14 << 3) | (1 << 33)
    hidden = bytes([tag & 127 | 128, *((tag >> s) & 127 | 128 for s in (7, 14, 21)), tag >> 28, 1])
    weight = tensor([1], bytes(4)).SerializeToString()
    with pytest.raises(GraphError, match="a field has no number"):
        read_graph(field(7, field(5, weight + hidden)))
    attribute = field(5, weight) * 2
    with pytest.raises(GraphError, match="an attribute is two tensors"):
        read_graph(field(7, field(1, field(5, attribute))))


MANY = {
    "nodes": field(7, field(1, b"") * 101),
    "values": field(7, field(13, b"") * 101),
    "weights": field(7, field(5, tensor([0]).SerializeToString()) * 101),
    "functions": b"".join(field(25, function(f"f{i}", []).SerializeToString()) for i in range(101)),
    "bytes beside its weights": field(7, field(10, bytes(101))),
}


@pytest.mark.parametrize("what", MANY)
def test_nothing_is_there_without_bound(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in MANY:
        monkeypatch.setitem(reading.MOST, each, 100 if each == what else 2**20)
    with pytest.raises(GraphError, match=f"has more than 100 {what}") as refused:
        read_graph(MANY[what])
    assert refused.value.kind == "size"


@pytest.mark.parametrize("path", STORED, ids=lambda p: "/".join(p.parts[-5:]))
def test_every_graph_that_was_exported_once_passes(path: Path) -> None:
    graph = read_graph(path.read_bytes())
    check(graph)
    assert row_bytes(graph) > 0


def test_functions_are_of_the_domain_that_is_let_in() -> None:
    graph = read_graph(
        helper.make_model(
            helper.make_graph([call("f0", DOMAIN)], "g", [], []),
            functions=[function("f0", [], DOMAIN)],
        ).SerializeToString()
    )
    check(graph)
