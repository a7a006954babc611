"""Convolutions of exported graphs: float64 beside float32, and encoding in chunks of time.

    python -m tests.benchmarks.convolution

Onnxruntime runs each graph as a server does by default: one thread, and batches as large as memory
allows, up to 16 rows. The sides take turns; memory is that of a process of its own. Writes
results/convolution.json and the page results/convolution.md; exits with 1 where a bar is missed.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import zoo
from models.flow import Flow
from models.layers import MaskedConvolution
from models.layers.autoregressive import causal
from models.networks import Conditioner, ConvNet
from models.numerics import Convolution, fold
from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.row_memory import row_memory
from training.export.graphs import draft
from training.export.recorded import onnx_model, recorded
from training.export.served_graph import ServedGraph

MOST_TIME, MOST_MEMORY = 2.5, 2.2
"""Of float64, beside float32."""

MOST_MB, LEAST_RATE = 2.0, 0.95
"""Of a row of fsdd-wavenet, and of the rate of one pass over all of it."""

TURNS, TURN_SECONDS = 5, 0.2

MAX_ROWS = 16
"""More at once are no faster."""

LEAST_MB = 0.01
"""A row that seems to take less has what loading large weights left free."""


Call = Callable[[Tensor], Any]


class Case:
    """A graph in a number of forms, as it is served.

    Args:
        graphs: ONNX files by form, of which the first is compared with.
        shapes: of the inputs by name, without rows.
    """

    def __init__(self, graphs: Mapping[str, bytes], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._graphs, self._shapes = graphs, shapes

    def measured(self) -> dict[str, dict[str, float]]:
        """By form: rows of a batch, milliseconds a row with quartiles, and megabytes a row."""
        served = {form: ServedGraph(content) for form, content in self._graphs.items()}
        rows = {form: min(max(2, graph.batch_rows), MAX_ROWS) for form, graph in served.items()}
        runs = {form: self._run(served[form], form, rows[form]) for form in served}
        answer = {}
        for form, taken in _cpu_seconds(runs).items():
            low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75]) * 1e3 / rows[form]
            answer[form] = {
                "rows": rows[form],
                "ms": float(middle),
                "ms_low": float(low),
                "ms_high": float(high),
                "mb": row_memory(self._graphs[form], rows[form]) / 1e6,
            }
        return answer

    def _run(self, graph: ServedGraph, form: str, rows: int) -> Callable[[], object]:
        random = np.random.default_rng(0)
        number = np.float64 if form == "float64" else np.float32
        feed: dict[str, NDArray[Any]] = {
            name: random.normal(size=(rows, *shape)).astype(number)
            for name, shape in self._shapes.items()
        }
        return lambda: graph.run(feed)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.convolution")
    parser.add_argument("--only", help="cases whose names contain this")
    add_results_option(parser)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, case in _cases():
        if (arguments.only or "") in name:
            results[name] = case().measured()
            print(name, results[name], flush=True)
    reached = [bar for name, forms in results.items() for bar in _bars(name, forms)]
    page = "\n".join(_page(results))
    content = {"cpu": cpu_name(), "cases": results}
    sys.exit(publish(arguments.results, "convolution", content, page, reached))


def _cases() -> Iterator[tuple[str, Callable[[], Case]]]:
    """Names, and what makes the graphs."""
    for channels, side in [
        (64, 28), (64, 14), (64, 7), (128, 32), (128, 14), (256, 14), (512, 14), (512, 7)
    ]:  # fmt: skip
        shape = (channels, side, side)
        yield (
            f"3 × 3, {channels} channels, {side} × {side}",
            partial(_both, Convolution(channels, channels, 3), shape),
        )
    for inputs, hidden, side in [(2, 192, 14), (4, 192, 7), (6, 128, 16), (12, 512, 8)]:
        shape = (inputs, side, side)
        conditioner = Conditioner((hidden, hidden), initial_scale=1.0, positional_bias=True)
        yield (
            f"Glow's network, {inputs} → {hidden} → {hidden} → {2 * inputs}, {side} × {side}",
            partial(_both, ConvNet(inputs, 2 * inputs, shape[1:], conditioner), shape),
        )
    for channels, hidden, side in [(1, 64, 28), (4, 64, 14), (12, 128, 16)]:
        shape = (channels, side, side)
        conditioner = Conditioner((hidden, hidden), "tanh", 0, 0.1, positional_bias=True)
        for direction in ("encode", "decode"):
            yield (
                f"MintNet's layer, {channels} × {side} × {side}, {hidden} hidden, {direction}",
                partial(_both, MaskedConvolution(shape, conditioner), shape, direction),
            )
    wavenets: list[tuple[str, int, int | None, dict[str, Any]]] = [
        ("fsdd-wavenet", 4096, 10, {"hidden": (96,) * 20, "activation": "silu8"}),
        (
            "mnist-wavenet-cuda",
            784,
            None,
            {"hidden": (256,) * 12, "univariate": "spline", "positional_bias": True},
        ),
        ("fsdd-student, a layer", 4096, 10, {"hidden": (64,) * 10, "activation": "silu8"}),
    ]
    for name, length, context, options in wavenets:
        yield (
            f"{name}, encode",
            partial(_in_chunks, length, context, {"transforms": 1, **options}),
        )


def _both(module: nn.Module, shape: tuple[int, ...], method: str = "forward") -> Case:
    """A module in both number types."""
    graphs = {}
    for form, number in (("float32", torch.float32), ("float64", torch.float64)):
        folded = copy.deepcopy(module).to(number).eval().requires_grad_(False)
        fold(folded)
        call: Call = folded if method == "forward" else getattr(folded, method)
        count = 1 if method == "forward" else 2
        outputs = [f"y{i}" for i in range(count)]
        graph = recorded(call, {"x": ("batch", *shape)}, outputs, number)
        graphs[form] = onnx_model(graph).SerializeToString()
    return Case(graphs, {"x": shape})


def _in_chunks(length: int, context: int | None, options: dict[str, Any]) -> Case:
    """A WaveNet that encodes at once, and in chunks."""
    shapes: dict[str, tuple[int, ...]] = {"x": (length,)}
    if context:
        shapes["context"] = (context,)
    flow = zoo.build("wavenet", (length,), context_shape=shapes.get("context"), options=options)
    return Case(
        {"at once": _at_once(flow), "in chunks": draft(flow, "x", "z").finish(None)}, shapes
    )


def _at_once(flow: Flow) -> bytes:
    units = causal.CHUNK_UNITS
    causal.CHUNK_UNITS = sys.maxsize
    try:
        return draft(flow, "x", "z").finish(None)
    finally:
        causal.CHUNK_UNITS = units


def _cpu_seconds(runs: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Of each run, in turns."""
    seconds: dict[str, list[float]] = {form: [] for form in runs}
    for turn in range(1 + TURNS):
        for form, run in runs.items():
            start, count = time.process_time(), 0
            while count == 0 or time.process_time() - start < TURN_SECONDS:
                run()
                count += 1
            if turn:
                seconds[form].append((time.process_time() - start) / count)
    return seconds


def _bars(name: str, forms: dict[str, dict[str, float]]) -> Iterator[Bar]:
    first, second = forms.values()
    if "in chunks" in forms:
        yield Bar(f"{name}: rate, of at once", first["ms"] / second["ms"], LEAST_RATE, floor=True)
        if name.startswith("fsdd-wavenet"):
            yield Bar(f"{name}: MB a row", second["mb"], MOST_MB)
    elif "decode" not in name:  # which takes more steps in float64
        yield Bar(f"{name}: time", second["ms"] / first["ms"], MOST_TIME)
        if first["mb"] > LEAST_MB:
            yield Bar(f"{name}: memory", second["mb"] / first["mb"], MOST_MEMORY)


def _page(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    lines = [
        "# Convolutions of exported graphs",
        "",
        f"`make bench-convolution` on {cpu_name()}: onnxruntime, one thread, in batches of up "
        "to 16 rows; milliseconds of CPU a row (median and quartiles of runs in turns) and "
        "megabytes a row (the largest of a process, less that with one row).",
        "",
    ]
    for forms in (("float32", "float64"), ("at once", "in chunks")):
        rows = [(name, *_row(found)) for name, found in results.items() if tuple(found) == forms]
        columns = ["", "rows", *(f"{form}, ms" for form in forms), "ratio"]
        columns += [*(f"{form}, MB" for form in forms), "ratio"]
        lines += table(columns, rows)
    return lines


def _row(forms: dict[str, dict[str, float]]) -> list[str]:
    first, second = forms.values()
    times = [
        f"{figure(f['ms'])} ({figure(f['ms_low'])}–{figure(f['ms_high'])})" for f in forms.values()
    ]
    return [
        f"{first['rows']}, {second['rows']}",
        *times,
        figure(second["ms"] / first["ms"]),
        *(figure(f["mb"]) for f in forms.values()),
        figure(second["mb"] / first["mb"]) if first["mb"] > LEAST_MB else "",
    ]


if __name__ == "__main__":
    main()
