"""Small recipes, and the command that trains them."""

import io
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from service.cli import main

# Enough epochs for a flow that is no longer the identity; quality is for `make test-long`.
RECIPES = {
    "digits-maf": ('source = "digits"', 'family = "maf"\npreprocessing = "soft-logit"'),
    "digits-nice": ('source = "digits"', 'family = "nice"\npreprocessing = "logit"'),
    "moons-maf": ('source = "moons"\nrows = 4000', 'family = "maf"'),
    "moons-iaf": ('source = "moons"\nrows = 4000', 'family = "iaf"'),
    "moons-context": (
        'source = "moons.csv"\ncontext = ["lift"]\nlabels = "half"',
        'family = "realnvp"',
    ),
    "digits-image": (
        'source = "digits"\nlabels = "digit"\nshape = [1, 8, 8]',
        'family = "maf"\npreprocessing = "soft-logit"\nembedding = 4',
    ),
}


def write_lifted_moons(folder: Path) -> None:
    """Two moons, each lifted by a random height that stands beside it, as moons.csv."""
    from sklearn.datasets import make_moons  # only here: see conftest.py

    rows, half = make_moons(4000, noise=0.1, random_state=0)
    lift = np.random.default_rng(0).uniform(-2, 2, len(rows))
    names = np.array(["upper", "lower"])[half]
    lines = [
        f"{x:.6f},{y + h:.6f},{h:.6f},{name}"
        for (x, y), h, name in zip(rows, lift, names, strict=True)
    ]
    (folder / "moons.csv").write_text("\n".join(["x,y,lift,half", *lines]) + "\n")


def recipe_text(name: str, epochs: int = 3) -> str:
    data, flow = RECIPES[name]
    return f"""
[data]
{data}
[flow]
{flow}
transforms = 2
hidden = [32, 32]
[fit]
epochs = {epochs}
learning_rate = 3e-3
threads = 1
"""


def run_bijecta(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def call_bijecta(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has torch imported already."""
    out, errors = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(errors):
        try:
            code: str | int | None = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(arguments, int(code or 0), out.getvalue(), errors.getvalue())
