"""The second half: rows a second over HTTP, of onnxruntime, the engine and torch; training."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from service.types import Arrays
from tests.benchmarks.common.bar import Bar
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.gpu.loaded import OUTPUTS, ask, data, latents, loaded
from tests.benchmarks.gpu.plan import Model, Plan
from tests.benchmarks.gpu.steps import Steps
from tests.benchmarks.gpu.training import steps_a_second
from tests.benchmarks.inverse.graph import open_graph
from tests.benchmarks.serving.server import Server

LOOP, STAYS = "onnxruntime's own loop", "onnxruntime, rows stay on the GPU"
ENGINE, NO_GRAPHS = "engine", "engine without CUDA graphs"
HTTP = "HTTP, npy"
EAGER, COMPILED = "torch", "torch.compile"

# of HTTP over onnxruntime's own loop, and of it over torch.compile
HTTP_SHARE, COMPILED_SHARE = 0.7, 1.0
COMPARED_ROWS = 256
"""Rows of a batch from which both hold."""

CONNECTIONS = 8

Rates = dict[str, float]
"""Rows a second, by side."""


def half(plan: Plan, store: Path, steps: Steps) -> None:
    """Carry it out; see `agree.half`."""
    for model in plan.models:
        folder = store / model.name / "1"
        for direction in ("encode", "decode"):
            if _is_stepwise(model, direction):
                continue
            for rows in plan.batches[1:]:
                work = partial(_graph_rates, folder, direction, rows, plan)
                steps.do(f"graph {model.name} {direction} {rows}", work)
    with served(plan, store, steps) as ask_over_http:
        for model in plan.models:
            for endpoint in ("encode", "decode", "sample"):
                if _is_stepwise(model, "encode" if endpoint == "encode" else "decode"):
                    continue
                for rows in plan.batches[1:]:
                    work = partial(ask_over_http, model, endpoint, rows)
                    steps.do(f"http {model.name} {endpoint} {rows}", work)
    for recorded in (False, True):
        name = "training, recorded" if recorded else "training"
        steps.do(name, partial(steps_a_second, plan, recorded))
    # last, as compiling takes longest; a student's layers are those of a MAF
    rows = plan.batches[-1]
    for model in plan.models:
        if not _is_stepwise(model, "encode"):
            work = partial(_torch_rates, model, "encode", rows, plan)
            steps.do(f"torch {model.name} encode {rows}", work)


def bars(found: dict[str, Any], plan: Plan) -> list[Bar]:
    """What the results must reach."""
    reached = []
    for name, said in found.items():
        kind, _, what = name.partition(" ")
        if "error" in said or kind not in ("http", "torch"):
            continue
        loop = found.get(f"graph {what.replace('sample', 'decode')}", {}).get(LOOP)
        if loop is None or int(what.split()[-1]) < COMPARED_ROWS:
            continue
        if kind == "http":
            share = said[HTTP] / loop
            bar = Bar(f"{what} over HTTP / {LOOP}", share, HTTP_SHARE, floor=True)
        else:
            share = found[f"graph {what}"][ENGINE] / said[COMPILED]
            bar = Bar(f"{what}: engine / {COMPILED}", share, COMPILED_SHARE, floor=True)
        reached.append(bar)
    return reached


def _is_stepwise(model: Model, direction: str) -> bool:
    """Whether a direction goes from one coordinate to the next, which a GPU does badly."""
    return (model.family, direction) in (("maf", "decode"), ("iaf", "encode"))


def _graph_rates(folder: Path, direction: str, rows: int, plan: Plan) -> Rates:
    """Rows a second of one graph, by the engine and by onnxruntime alone."""
    session = open_graph(folder / f"{direction}.onnx", plan.device)
    with (
        loaded(folder, plan.device) as model,
        loaded(folder, plan.device, cuda_graphs=False) as plain,
    ):
        feeds = (data if direction == "encode" else latents)(model, rows)
        sides = {
            LOOP: Side(partial(session.run, list(OUTPUTS[direction]), feeds)),
            STAYS: Side(partial(session.run_with_iobinding, _on_device(session, feeds, plan))),
            ENGINE: Side(partial(_by_engine, model, direction, feeds)),
            NO_GRAPHS: Side(partial(_by_engine, plain, direction, feeds)),
        }
        for side in sides.values():
            side.run()
        return _rates(sides, rows, plan)


ENGINE_RUNS = 16


def _by_engine(model: Any, direction: str, feeds: Arrays) -> None:
    ask(model, direction, feeds, ENGINE_RUNS)


def _rates(sides: dict[str, Side], rows: int, plan: Plan) -> Rates:
    taken = in_turns(sides, plan.device)
    runs = {ENGINE: ENGINE_RUNS, NO_GRAPHS: ENGINE_RUNS}
    return {name: runs.get(name, 1) * rows / median(times) for name, times in taken.items()}


def _on_device(session: onnxruntime.InferenceSession, feeds: Arrays, plan: Plan) -> Any:
    binding = session.io_binding()
    for name, values in feeds.items():
        there = onnxruntime.OrtValue.ortvalue_from_numpy(values, plan.device, 0)
        binding.bind_ortvalue_input(name, there)
    for output in session.get_outputs():
        binding.bind_output(output.name, plan.device, 0)
    return binding


@dataclass(frozen=True)
class Stored:
    """A store that is served."""

    store: Path

    def command(self, port: int) -> list[str]:
        """What serves it."""
        serve = [sys.executable, "-m", "service.cli", "serve"]
        return [*serve, "--store", str(self.store.resolve()), "--port", str(port)]


@contextmanager
def served(plan: Plan, store: Path, steps: Steps) -> Iterator[Callable[[Model, str, int], Rates]]:
    """A server of the store, from the first request on, and what asks it."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:

        def rates(model: Model, endpoint: str, rows: int) -> Rates:
            if not servers:
                options = ["--device", plan.device, "--max-inflight-mib", "4096"]
                options += ["--queue-rows", "65536", "--max-unsent-mib", "2048"]
                server = Server(Stored(store), Path(folder) / "log", options=options)
                server.__enter__()
                servers.append(server)
            query = f"/{endpoint}?model={model.name}"
            command = [sys.executable, "-m", "tests.benchmarks.gpu.client", str(servers[0].port)]
            if endpoint == "sample":
                command += [f"{query}&n={rows}&seed=1", str(CONNECTIONS), str(plan.seconds)]
            else:
                body = Path(folder) / "body.npy"
                with loaded(store / model.name / "1", "cpu") as known:
                    feeds = (data if endpoint == "encode" else latents)(known, rows)
                np.save(body, feeds["x" if endpoint == "encode" else "z"])
                command += [query, str(CONNECTIONS), str(plan.seconds), str(body)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr[-1000:])
            return {HTTP: rows * float(done.stdout)}

        try:
            yield rates
        finally:
            for server in servers:
                server.__exit__(None, None, None)


def _torch_rates(model: Model, direction: str, rows: int, plan: Plan) -> Rates:
    """Rows a second of the flow in torch, from the host's memory and back to it."""
    device = torch.device(plan.device)
    flow = model.flow().to(device)
    method: Callable[[Tensor], tuple[Tensor, Tensor]] = getattr(flow, direction)
    compiled = torch.compile(method, backend=plan.compiler)
    values = torch.randn(rows, model.dimensions)

    def run(function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        for output in function(values.to(device)):
            output.cpu()

    with torch.no_grad():
        run(compiled)
        sides = {EAGER: Side(partial(run, method)), COMPILED: Side(partial(run, compiled))}
        return _rates(sides, rows, plan)
