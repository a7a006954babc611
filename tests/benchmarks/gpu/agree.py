"""The first half: a GPU answers as the CPU does, and its memory is bounded."""

import random
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.bound_runs import RUNS_BEFORE_CAPTURE
from service.types import Arrays
from tests.benchmarks.common.bar import Bar
from tests.benchmarks.common.machine import memory
from tests.benchmarks.gpu.loaded import OUTPUTS, ask, data, latents, loaded
from tests.benchmarks.gpu.plan import STORED, Plan
from tests.benchmarks.gpu.steps import Steps
from training.export.verify import BARS

# The last of these runs replays a CUDA graph, where there is one, in whichever thread.
RUNS = 4 * (RUNS_BEFORE_CAPTURE + 1)

MEMORY_SLACK = 64 * 2**20
"""Bytes by which the memory of the later batches may exceed that of the earlier ones."""


def half(plan: Plan, store: Path, steps: Steps) -> None:
    """Carry it out.

    Args:
        plan: what is to be done.
        store: of the plan's models.
        steps: keep the results.
    """
    for name in plan.families:
        steps.do(f"agree {name}", partial(_errors, STORED / name / "1", plan))
    for model in plan.models:
        work = partial(_errors, store / model.name / "1", plan)
        steps.do(f"agree {model.name}, as large", work)
    steps.do("memory", partial(_memory, store / "mnist" / "1", plan))


def bars(found: dict[str, Any], plan: Plan) -> list[Bar]:
    """What the results must reach."""
    agreeing = {k: v for k, v in found.items() if k.startswith("agree ") and "error" not in v}
    reached = [
        Bar(f"{what} of {name.removeprefix('agree ')}", said[what], BARS[what])
        for name, said in agreeing.items()
        for what in BARS
    ]
    if "batches" in (watched := found.get("memory", {})):
        growth = watched["last"] - watched["first"]
        reached.append(Bar("growth of memory, bytes", growth, MEMORY_SLACK))
        reached.append(Bar("batches of random size", watched["batches"], plan.sizes, floor=True))
    return reached


def _errors(folder: Path, plan: Plan) -> dict[str, float]:
    """How far the device's answers are from the CPU's, as `BARS` measures it."""
    worst = dict.fromkeys(BARS, 0.0)
    differences: list[np.ndarray] = []
    with loaded(folder, "cpu") as cpu, loaded(folder, plan.device) as device:
        dimensions = cpu.manifest.dimensions
        costs = {str(graph): cost for graph, cost in cpu.manifest.cost.items()}
        for rows in plan.batches:
            for direction, feeds in (("encode", data(cpu, rows)), ("decode", latents(cpu, rows))):
                expected = ask(cpu, direction, feeds, runs=1)
                # the others have loops, which are not captured
                runs = RUNS if costs[direction] == "parallel" else 2
                found = ask(device, direction, feeds, runs)
                _check_finite(expected, found)
                value = OUTPUTS[direction][0]
                error = _relative(expected[value], found[value])
                worst[f"{value}_relative"] = max(worst[f"{value}_relative"], error)
                log_prob = _difference(expected["log_prob"], found["log_prob"])
                differences.append(log_prob / dimensions)
    every = np.concatenate(differences)
    worst["log_prob_per_dim_p99"] = float(np.quantile(every, 0.99))
    worst["log_prob_per_dim_max"] = float(every.max())
    return worst


def _check_finite(expected: Arrays, found: Arrays) -> None:
    for name, values in expected.items():
        if not np.array_equal(np.isfinite(values), np.isfinite(found[name])):
            raise ValueError(f"{name} is finite on one device alone")


def _difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    finite = np.isfinite(expected)
    difference: np.ndarray = np.abs(expected[finite].astype(np.float64) - found[finite])
    return difference


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    finite = expected[np.isfinite(expected)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    return float(_difference(expected, found).max(initial=0.0)) / max(1.0, spread)


def _memory(folder: Path, plan: Plan) -> dict[str, Any]:
    """Memory of the device after the first tenth of batches of random sizes, and after all."""
    sizes = random.Random(0)
    with loaded(folder, plan.device) as model:
        encode, decode = data(model, plan.most_rows), latents(model, plan.most_rows)
        # all threads meet all sizes there are: powers of two
        for power in range(plan.most_rows.bit_length()):
            for direction, feeds in (("encode", encode), ("decode", decode)):
                ask(model, direction, {k: v[: 2**power] for k, v in feeds.items()}, RUNS)
        course = []
        for batch in range(plan.sizes):
            rows = sizes.randint(1, plan.most_rows)
            direction, feeds = (("encode", encode), ("decode", decode))[batch % 2]
            ask(model, direction, {k: v[:rows] for k, v in feeds.items()}, 1)
            if batch % (plan.sizes // 10) == plan.sizes // 10 - 1:
                course.append(used_bytes(plan.device))
    first, last = course[0], max(course[1:])
    return {"batches": plan.sizes, "first": first, "last": last, "course": course}


def used_bytes(device: str) -> int:
    """Memory of the GPU in use, or of this process."""
    if device == "cpu":
        return memory("self")
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) * 2**20
