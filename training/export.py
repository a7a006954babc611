"""From a run to a verified bundle in a store."""

import copy
import json
import logging
import shutil
import tempfile
import typing
import warnings
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as RuntimeNotImplemented
from torch import Tensor, nn

from models.flow import Flow
from models.folding import fold
from service import bundle
from training.checkpoint import Run, write_atomically
from training.data import Dataset, per_coordinate
from training.errors import ExportError
from training.evaluate import log_prob
from training.verify import verify

OPSET = 20
CALIBRATION_LEVELS = [i / 200 for i in range(201)]


def export(
    run: Run, dataset: Dataset, evaluation: bundle.HeldOut, store: Path, name: str
) -> tuple[Path, bundle.Manifest]:
    """Write a run's best flow as a new version of a bundle.

    Args:
        run: the run.
        dataset: its data; the graphs are verified on its test rows.
        evaluation: the held-out figures to state.
        store: folder of bundles, made if need be.
        name: the bundle's name.

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: a name that is not allowed, or graphs that miss the tolerances in float32
            arithmetic and in float64.
    """
    if not bundle.NAME.fullmatch(name):
        raise ExportError(f"a bundle's name matches {bundle.NAME.pattern}, {name!r} does not")
    flow = run.best_flow()
    arithmetic, graphs, tolerances = _verified(flow, dataset)
    parent = store / name
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    partial.chmod(0o755)
    try:
        for file_name, content in graphs.items():
            write_atomically(partial / file_name, content)
        files = {file_name: bundle.sha256(partial / file_name) for file_name in graphs}
        manifest = _manifest(run, flow, dataset, evaluation)
        manifest |= {"name": name, "files": files}
        manifest |= {"arithmetic": arithmetic, "tolerances": tolerances.model_dump()}
        while True:
            version = max(bundle.versions(parent), default=0) + 1
            manifest["version"] = version
            manifest["checksum"] = bundle.checksum(manifest)
            write_atomically(partial / bundle.MANIFEST, json.dumps(manifest, indent=2).encode())
            try:
                partial.rename(parent / str(version))
            except OSError:
                if not (parent / str(version)).exists():
                    raise
                continue  # another export took this number first
            return parent / str(version), bundle.read(parent / str(version))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _verified(
    flow: Flow, dataset: Dataset
) -> tuple[bundle.Arithmetic, dict[str, bytes], bundle.Tolerances]:
    """Both graphs in float32 arithmetic or, where a steep flow misses the bars so, in float64."""
    missed: ExportError | None = None
    for arithmetic in typing.get_args(bundle.Arithmetic):
        made = copy.deepcopy(flow).double() if arithmetic == "float64" else flow
        graphs = {bundle.ENCODE: graph(made, "x", "z"), bundle.DECODE: graph(made, "z", "x")}
        try:
            tolerances = verify(flow, graphs[bundle.ENCODE], graphs[bundle.DECODE], dataset)
        except ExportError as error:
            missed = missed or error
        except RuntimeNotImplemented:  # onnxruntime has no convolution or erf in float64
            break
        else:
            return arithmetic, graphs, tolerances
    assert missed is not None
    raise missed


class _Direction(nn.Module):
    """One direction of a flow as a module whose call is a graph from float32 to float32."""

    def __init__(self, flow: Flow, encodes: bool) -> None:
        super().__init__()
        self.flow, self.encodes = flow, encodes

    def forward(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        go = self.flow.encode if self.encodes else self.flow.decode
        context = None if context is None else context.to(self.flow.like)
        out, log_prob = go(value.to(self.flow.like), context)
        return out.float(), log_prob.float()


def graph(flow: Flow, source: str, target: str) -> bytes:
    """One direction of a flow as an ONNX file of any batch size, float32 outside.

    Args:
        flow: the flow; the graph computes in its number type.
        source, target: names of the graph's input and first output: x and z to encode, z and x
            to decode. The second output is log_prob; a conditional flow has the input context.
    """
    # parameters that want gradients would make the exporter trace a backward pass of each loop
    folded = copy.deepcopy(flow).eval().requires_grad_(False)
    fold(folded)
    bijection, encodes = flow.bijection, source == "x"
    inputs = {source: bijection.event_shape if encodes else bijection.latent_shape}
    if flow.context_shape is not None:
        inputs["context"] = flow.context_shape
    batch = torch.export.Dim("batch")
    # what the exporter says to its own developers
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Direction(folded, encodes),
            # a batch of 1 would be taken for a constant
            tuple(torch.zeros(3, *shape) for shape in inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=[target, "log_prob"],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model.graph)
    content: bytes = model.SerializeToString()
    return content


def _strip(part_of: onnx.GraphProto) -> None:
    """Forget the exporter's notes: they are larger than small flows, and name local paths."""
    for part in (part_of, *part_of.node, *part_of.value_info, *part_of.input, *part_of.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in part_of.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


def _manifest(run: Run, flow: Flow, dataset: Dataset, evaluation: bundle.HeldOut) -> dict[str, Any]:
    """What a manifest says beside name, version, files, tolerances and checksum."""
    bijection = flow.bijection
    integer = dataset.integer
    scores = np.sort(log_prob(flow, dataset.test[None], dataset.test_context))
    return {
        "format_version": bundle.FORMAT_VERSION,
        "family": run.file.flow["family"],
        "event_shape": list(bijection.event_shape),
        "latent_shape": list(bijection.latent_shape),
        "dtype": "float32",
        "base": flow.base.name,
        "base_parameters": flow.base.describe(),
        "context_shape": None if flow.context_shape is None else list(flow.context_shape),
        "context": [column.model_dump() for column in dataset.context] or None,
        "cost": {"encode": bijection.encode_cost, "decode": bijection.decode_cost},
        "preprocessing": run.file.flow["preprocessing"],
        "support": None
        if bijection.support is None
        else dict(zip(("low", "high"), map(per_coordinate, bijection.support), strict=True)),
        "dequantization": {
            "columns": None if integer.all() else np.flatnonzero(integer).tolist(),
            "low": per_coordinate(dataset.low[integer]),
            "high": per_coordinate(dataset.high[integer]),
        }
        if integer.any()
        else None,
        "data": {"name": dataset.name, "sha256": dataset.sha256},
        "held_out": evaluation.model_dump(),
        "calibration": {
            "rows": len(scores),
            "levels": CALIBRATION_LEVELS,
            "log_prob": [_finite(q) for q in np.quantile(scores, CALIBRATION_LEVELS)],
        },
        "made_with": {
            **{p: package_version(p) for p in ("bijecta", "torch", "onnx", "onnxscript")},
            "opset": str(OPSET),
        },
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
