"""Transformer flows as they are served: decoding beside encoding, in time and in memory.

    python -m tests.benchmarks.transformers

Decoding computes one token after another and keeps the keys and values of those before. Its time is
compared with one encoding of the same rows, and with D encodings: the reference that decodes one
value of D with each pass. Onnxruntime runs each graph as a server does by default, in one thread;
the sides take turns. Writes results/transformers.json and the page results/transformers.md; exits
with 1 where a bar is missed.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from models import zoo
from models.bijection import Shape
from models.flow import Flow
from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.row_memory import row_memory
from tests.benchmarks.common.turns import Side, in_turns
from training.export.graphs import draft
from training.export.served_graph import ServedGraph

MOST_ENCODINGS = 4.0
"""Of the same rows, that a decoding takes the time of, from LEAST_BATCH rows on."""

LEAST_BATCH = 16

LEAST_GAIN = 20.0
"""Over D encodings of D = REFERENCE_VALUES values."""

REFERENCE_VALUES = 784

MOST_MEMORY = 2.0
"""Of a row of an encoding, that a row of a decoding takes beside its keys and values."""

BATCHES = 1, 16, 64, 256

MEMORY_ROWS = 16

LEAST_MB = 0.02
"""A row that takes less is smaller than what loading left free."""


@dataclass(frozen=True)
class Case:
    """A transformer with untrained weights, on which the time does not depend.

    Args:
        shape: of a row.
        options: of the family.
    """

    shape: Shape
    options: dict[str, Any]

    def flow(self) -> Flow:
        """The flow, with weights such that no layer is the identity."""
        torch.manual_seed(0)
        flow = zoo.build("transformer", self.shape, options=self.options)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return flow

    @property
    def values(self) -> int:
        """D."""
        return math.prod(self.shape)

    @property
    def tokens(self) -> int:
        """T."""
        patch: int = self.options.get("patch", 1)
        return self.values // (patch**2 if len(self.shape) > 1 else patch)

    @property
    def cache_bytes(self) -> int:
        """Keys and values of a row, in float32, of the layer that is decoded."""
        hidden: tuple[int, ...] = self.options["hidden"]
        return 4 * 2 * len(hidden) * hidden[0] * self.tokens


CASES = {
    "digits-transformer": Case(
        (1, 8, 8), {"univariate": "spline", "transforms": 1, "hidden": (48, 48, 48)}
    ),
    "63 columns, mixtures": Case(
        (63,), {"univariate": "gaussian-mixture", "transforms": 1, "hidden": (128,) * 4}
    ),
    "63 columns, three layers": Case((63,), {"transforms": 3, "hidden": (128, 128)}),
    "28 × 28, a token a pixel": Case((1, 28, 28), {"transforms": 1, "hidden": (64, 64)}),
    "28 × 28, patches of 4": Case(
        (1, 28, 28),
        {
            "univariate": "spline",
            "transforms": 1,
            "patch": 4,
            "hidden": (256,) * 6,
            "heads": 8,
            "patch_hidden": (512, 512),
        },
    ),
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.transformers")
    parser.add_argument("--only", help="cases whose names contain this")
    add_results_option(parser)
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for name, case in CASES.items():
        if (arguments.only or "") in name:
            results[name] = measured(case)
            print(name, results[name], flush=True)
    reached = [bar for name, result in results.items() for bar in _bars(name, result)]
    content = {"cpu": cpu_name(), "cases": results}
    page = "\n".join(_page(results))
    sys.exit(publish(arguments.results, "transformers", content, page, reached))


def measured(case: Case) -> dict[str, Any]:
    """By batch, milliseconds of both directions with quartiles; megabytes a row of both."""
    flow = case.flow()
    graphs = {
        "encode": draft(flow, "x", "z").finish(None),
        "decode": draft(flow, "z", "x").finish(None),
    }
    served = {direction: ServedGraph(content) for direction, content in graphs.items()}
    random = np.random.default_rng(0)
    times: dict[int, dict[str, list[float]]] = {}
    for batch in BATCHES:
        rows = random.normal(size=(batch, *case.shape)).astype(np.float32)
        sides = {
            direction: Side(partial(graph.run, {"x" if direction == "encode" else "z": rows}))
            for direction, graph in served.items()
        }
        times[batch] = {
            direction: (1e3 * np.quantile(taken, [0.25, 0.5, 0.75])).tolist()
            for direction, taken in in_turns(sides, "cpu").items()
        }
    return {
        "values": case.values,
        "tokens": case.tokens,
        "cache_mb": case.cache_bytes / 1e6,
        "ms": times,
        "mb": {name: row_memory(content, MEMORY_ROWS) / 1e6 for name, content in graphs.items()},
    }


def _bars(name: str, result: dict[str, Any]) -> Iterator[Bar]:
    for batch, ms in result["ms"].items():
        encodings = ms["decode"][1] / ms["encode"][1]
        if batch >= LEAST_BATCH:
            yield Bar(f"{name}, {batch} rows: encodings a decoding", encodings, MOST_ENCODINGS)
            if result["values"] == REFERENCE_VALUES:
                gain = result["values"] / encodings
                yield Bar(f"{name}, {batch} rows: gain over D", gain, LEAST_GAIN, floor=True)
    mb = result["mb"]
    if mb["encode"] > LEAST_MB:
        beside_cache = (mb["decode"] - result["cache_mb"]) / mb["encode"]
        yield Bar(f"{name}: memory beside the cache, of encode's", beside_cache, MOST_MEMORY)


def _page(results: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "# Transformer flows: decoding beside encoding",
        "",
        f"`make bench-transformers` on {cpu_name()}: graphs as they are exported, onnxruntime, one "
        "thread; milliseconds of a run (median and quartiles, in turns). “Over D passes” is how "
        "many times faster decoding is than D encodings, D being the number of values of a row.",
        "",
    ]
    columns = ["", "D", "tokens", "rows", "encode, ms", "decode, ms", "ratio", "over D passes"]
    rows = [
        (
            name,
            str(result["values"]),
            str(result["tokens"]),
            str(batch),
            _spread(ms["encode"]),
            _spread(ms["decode"]),
            figure(ms["decode"][1] / ms["encode"][1]),
            figure(result["values"] * ms["encode"][1] / ms["decode"][1]),
        )
        for name, result in results.items()
        for batch, ms in result["ms"].items()
    ]
    lines += table(columns, rows)
    lines += [
        f"Megabytes a row: the largest of a process with {MEMORY_ROWS} rows, less that with one.",
        "",
    ]
    memory = [
        (
            name,
            *(figure(result["mb"][side]) for side in ("encode", "decode")),
            figure(result["cache_mb"]),
        )
        for name, result in results.items()
    ]
    lines += table(["", "encode, MB", "decode, MB", "keys and values, MB"], memory)
    return lines


def _spread(quartiles: list[float]) -> str:
    low, middle, high = map(figure, quartiles)
    return f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
