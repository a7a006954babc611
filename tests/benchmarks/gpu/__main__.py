"""What needs an NVIDIA GPU: agreement with the CPU, memory and speed.

    make gpu-check-bundles        on any machine, before
    make gpu-check                on a machine with a GPU

or one after another

    python -m tests.benchmarks.gpu bundles
    python -m tests.benchmarks.gpu agree
    python -m tests.benchmarks.gpu speed

Each half ends after `--minutes` and goes on where it was when it is called again; it exits with 75
where something is left, with 1 where a bar is missed or a step failed. What is found is kept in
`--folder` (build/gpu-check), and written to gpu_check.json and the page gpu_check.md in `--results`
by every call. With GPU_CHECK=rehearse it is done at toy size on the CPU, in a folder of its own.
"""

import argparse
import platform
import sys
from pathlib import Path

import onnxruntime
import torch

from tests.benchmarks.common.bar import RESULTS, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.gpu import agree, speed
from tests.benchmarks.gpu.page import page
from tests.benchmarks.gpu.plan import CARD, Plan, chosen
from tests.benchmarks.gpu.steps import OutOfTimeError, Steps

FOLDER, REHEARSED = Path("build/gpu-check"), Path("build/gpu-check-rehearsed")
MOST_BYTES = 25 * 10**6
"""Of all bundles, which may have to be carried to the machine."""

GOES_ON = 75  # EX_TEMPFAIL


def main(arguments: list[str] | None = None) -> int:
    """Make the bundles, or carry out a half."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    parser.add_argument("what", choices=("bundles", "agree", "speed"))
    plan = chosen()
    folder, results = (FOLDER, RESULTS) if plan is CARD else (REHEARSED, REHEARSED)
    parser.add_argument("--folder", type=Path, default=folder)
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--minutes", type=float, default=3.7)
    given = parser.parse_args(arguments)
    store = given.folder / "store"
    if given.what == "bundles":
        return _write_bundles(plan, store)
    missing = [m.name for m in plan.models if not (store / m.name / "1" / "manifest.json").exists()]
    if missing:
        print(f"{store} lacks {missing[0]}: make gpu-check-bundles", file=sys.stderr)
        return 2
    steps = Steps(given.folder / "found.json", _machine(plan), 60 * given.minutes)
    is_over = True
    try:
        (agree if given.what == "agree" else speed).half(plan, store, steps)
    except OutOfTimeError:
        is_over = False
    reached = [*agree.bars(steps.found, plan), *speed.bars(steps.found, plan)]
    given.results.mkdir(parents=True, exist_ok=True)
    content = {"machine": steps.machine, "found": steps.found}
    missed = publish(given.results, "gpu_check", content, page(steps, reached), reached)
    for name, error in steps.errors.items():
        print(f"failed: {name}: {error}", file=sys.stderr)
    if not is_over:
        print("the time is up; the next call goes on from here", file=sys.stderr)
        return GOES_ON
    return missed or int(bool(steps.errors))


def _write_bundles(plan: Plan, store: Path) -> int:
    for model in plan.models:
        if not (store / model.name / "1" / "manifest.json").exists():
            print(f"{store / model.name}", flush=True)
            model.write(store)
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    print(f"{size / 1e6:.1f} MB in {store}")
    if size > MOST_BYTES:
        print(f"more than {MOST_BYTES / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


def _machine(plan: Plan) -> dict[str, str]:
    gpu = torch.cuda.get_device_name() if plan.device == "cuda" else f"{cpu_name()}, a rehearsal"
    return {
        "gpu": gpu,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
