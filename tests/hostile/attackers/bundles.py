"""Folders in the store that are no bundles, or bundles that never load, while good ones answer."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from service.bundle import files as bundle
from tests.helpers.tiny import write_tiny_bundle
from tests.hostile.attacker import Target, attacker

POLLED = ("--poll-seconds", "0.5")
ANSWERED = frozenset({200, 404, 503})
NOTICED = 0.2

OUTSIDE = Path("/etc/passwd")
FOREIGN = (b"root:", bundle.sha256(OUTSIDE).encode())
"""What `OUTSIDE` holds; what a manifest calls it is the manifest's own word."""


def edit(path: Path, **change: Any) -> None:
    """Change a manifest, with a checksum that is right."""
    manifest = json.loads((path / "manifest.json").read_text()) | change
    manifest["files"] = {
        name: bundle.sha256(path / name) if (path / name).is_file() else "0" * 64
        for name in manifest["files"]
    }
    manifest["checksum"] = bundle.checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def endless_loop(path: Path) -> None:
    """A graph that goes round 2^62 times."""
    number, flag = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["v"], ["w"])],
        "body",
        [
            number("i", TensorProto.INT64, []),
            number("go", flag, []),
            number("v", TensorProto.FLOAT, ["N", 2]),
        ],
        [number("on", flag, []), number("w", TensorProto.FLOAT, ["N", 2])],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "yes", "x"], ["z"], body=body),
        helper.make_node("ReduceSum", ["x", "axes"], ["log_prob"], keepdims=0),
    ]
    rows = {name: number(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "z")}
    constants = [
        helper.make_tensor("trips", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("yes", flag, [], [True]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
    ]
    outputs = [rows["z"], number("log_prob", TensorProto.FLOAT, ["N"])]
    graph = helper.make_graph(nodes, "endless", [rows["x"]], outputs, constants)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path / "encode.onnx")
    edit(path)


def fifo(path: Path) -> None:
    """A manifest that nobody writes."""
    (path / "manifest.json").unlink()
    os.mkfifo(path / "manifest.json")


def fifo_graph(path: Path) -> None:
    """A graph that nobody writes."""
    (path / "encode.onnx").unlink()
    os.mkfifo(path / "encode.onnx")


def endless_zeros(path: Path) -> None:
    """A manifest without an end."""
    (path / "manifest.json").unlink()
    (path / "manifest.json").symlink_to("/dev/zero")


def sparse_manifest(path: Path) -> None:
    """A manifest of 20 GB that takes no disk."""
    os.truncate(path / "manifest.json", 20 * 2**30)


def sparse_graph(path: Path) -> None:
    """A graph of 20 GB that takes no disk."""
    os.truncate(path / "decode.onnx", 20 * 2**30)
    # the checksum of what it was: to find that it is another one reads all of it


def large_shape(path: Path) -> None:
    """A manifest that says rows have 10^9 values."""
    edit(path, event_shape=[1_000_000_000], latent_shape=[1_000_000_000])


def large_calibration(path: Path) -> None:
    """A manifest with millions of levels."""
    levels = [i / 3e6 for i in range(3_000_000)]
    edit(path, calibration={"rows": 1, "levels": levels, "log_prob": levels})


def deep_manifest(path: Path) -> None:
    """A manifest of lists in lists."""
    (path / "manifest.json").write_text("[" * 2_000_000)


def foreign_files(path: Path) -> None:
    """Files that are not the bundle's."""
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"] |= {f"../../../../../..{OUTSIDE}": "0" * 64, str(OUTSIDE): "0" * 64}
    manifest["checksum"] = bundle.checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def no_graph(path: Path) -> None:
    """A graph of random bytes."""
    (path / "encode.onnx").write_bytes(os.urandom(100_000))
    edit(path)


def many_refused(path: Path) -> None:
    """200 versions that are all refused, and asked for at every look."""
    for version in range(2, 200):
        shutil.copytree(path, path.parent / str(version))
        no_graph(path.parent / str(version))


def odd_names(path: Path) -> None:
    """Folders whose names are none of a bundle's."""
    store = path.parent.parent
    for name in ("line\nbreak", "..hidden", "a" * 200, "\x1b[31mred", "%s%n"):
        write_tiny_bundle(store, name)
    (path.parent / ("9" * 31)).mkdir()
    (path.parent / "0").mkdir()


def _register(name: str, line: str, guards: str, *spoil: Callable[[Path], None]) -> None:
    def prepare(store: Path) -> None:
        for number, change in enumerate(spoil):
            change(write_tiny_bundle(store, f"hostile-{number}"))

    async def play(target: Target) -> None:
        for number in range(len(spoil)):
            body = b'{"model":"hostile-%d","x":[[0,0]]}' % number
            said = (await target.ask("/log_prob", body)).body
            said += (await target.ask("/models", method="GET")).body
            if any(word in said for word in (*FOREIGN, bytes(target.store))):
                target.wrong.append(f"a path or a file is shown: {said!r:.300}")
        await target.pause(NOTICED)

    play.__name__ = name
    attacker(
        line, guards, connections=2, expected=ANSWERED, options=POLLED, prepare=prepare, quick=0
    )(play)


for name, line, guards, *spoil in (
    ("bundle-without-end", "B9", "a graph without an end keeps nobody waiting", endless_loop),
    ("bundle-of-no-files", "B9", "FIFOs and devices are no files", fifo, fifo_graph, endless_zeros),
    (
        "bundle-of-sparse-files",
        "B9",
        "files of 20 GB keep nobody waiting",
        sparse_manifest,
        sparse_graph,
    ),
    (
        "bundle-of-manifests",
        "B26",
        "what manifests say is compared before it is believed",
        large_shape,
        large_calibration,
        deep_manifest,
        odd_names,
    ),
    ("bundle-of-foreign-files", "B15", "files outside the folder are not shown", foreign_files),
    (
        "bundle-refused",
        "B14",
        "what is refused is said once, and tried at growing pauses",
        no_graph,
        many_refused,
    ),
):
    _register(name, line, guards, *spoil)


@attacker(
    "B29", "a store that changes ten times a second", expected=ANSWERED, options=POLLED, quick=0
)
async def changing_store(target: Target) -> None:
    made = target.store / ".made"
    shutil.rmtree(made, ignore_errors=True)
    path = write_tiny_bundle(made, "changing")
    if target.once is False and os.urandom(1)[0] < 64:
        no_graph(path)
    goal = target.store / "changing" / "1"
    shutil.rmtree(goal, ignore_errors=True)
    goal.parent.mkdir(exist_ok=True)
    path.rename(goal)
    await target.ask("/log_prob", b'{"model":"changing","x":[[0,0]]}')
    await target.pause(0.1)


@attacker(
    "B26",
    "a store that is gone, or empty, for a while keeps the last models",
    expected={200, 503},
    options=POLLED,
    quick=0,
)
async def vanishing_store(target: Target) -> None:
    away = target.store.with_name("away")
    for is_empty in (True, False):
        target.store.rename(away)
        if is_empty:
            target.store.mkdir()
        try:
            await target.pause(1.5)
            await target.ask("/log_prob", b'{"model":"tiny","x":[[0,0]]}')
        finally:
            if is_empty:
                target.store.rmdir()
            away.rename(target.store)
        await target.pause(0.7)


@attacker("B9", "new versions appear without a pause", expected=ANSWERED, options=POLLED, quick=0)
async def versions_without_end(target: Target) -> None:
    folder = target.store / "many"
    version = 1 + len(list(folder.glob("*"))) if folder.exists() else 1
    made = target.store / f".made-{version}"
    path = write_tiny_bundle(made, "many", version)
    folder.mkdir(exist_ok=True)
    path.rename(folder / str(version))
    shutil.rmtree(made)
    await target.ask("/log_prob", b'{"model":"many","x":[[0,0]]}')
    await target.pause(0.1)
