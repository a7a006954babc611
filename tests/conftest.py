"""Small flows trained for seconds, exported once a session, and served."""

import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from filelock import FileLock
from sklearn.datasets import make_moons

from service.cli import main
from tests.bundles import slug, write_bundle
from tests.examples import register_profiles

# the processes of a test run share the cores: more threads would wait for each other
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
register_profiles()
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that import onnxruntime before the service does

# Enough epochs for a flow that is no longer the identity; quality is for `make test-slow`.
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


def run_for_each_recipe(arguments: Callable[[str], tuple[str | Path, ...]], cwd: Path) -> None:
    """Two at a time: all processes of a test run soon wait for what comes of it."""
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda name: run_bijecta(*arguments(name), cwd=cwd), RECIPES):
            assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders that the first of the test processes to ask for them makes, for all of them."""
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent  # each process has a folder of its own in it

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        path, done = top / name, top / f"{name}.done"
        with FileLock(top / f"{name}.lock"):
            if not done.exists():
                path.mkdir(exist_ok=True)
                make(path)
                done.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def runs(made_once: Callable[..., Path]) -> Path:
    """A folder of runs, one for each recipe."""

    def train(folder: Path) -> None:
        write_lifted_moons(folder)
        for name in RECIPES:
            (folder / f"{name}.toml").write_text(recipe_text(name))
        run_for_each_recipe(lambda name: ("train", f"{name}.toml", "--out", name), folder)

    return made_once("runs", train)


@pytest.fixture(scope="session")
def store(runs: Path, made_once: Callable[..., Path]) -> Path:
    """A store of one bundle for each recipe. Not to be written to: copy it."""

    def export(folder: Path) -> None:
        run_for_each_recipe(lambda name: ("export", name, "--store", folder), runs)

    return made_once("store", export)


@pytest.fixture(scope="session")
def line_bundle(made_once: Callable[..., Path]) -> Callable[[str], Path]:
    """The bundle of a line of the law table: its name → store/<slug>/1."""

    def path(name: str) -> Path:
        folder = made_once(f"line-{slug(name)}", lambda folder: write_bundle(name, folder))
        return folder / "store" / slug(name) / "1"

    return path


@dataclass
class Served:
    """A server in a process of its own, and a client of it."""

    client: httpx.Client
    process: subprocess.Popen[str]
    log: list[str]

    def end(self) -> None:
        """Stop it, if it still runs."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=40)

    def is_ready(self) -> bool:
        """Whether its models are loaded."""
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False


Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """Start `bijecta serve` with options; ended when the session ends."""
    started: list[Served] = []

    def start(*options: str | Path) -> Served:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError(f"the server did not start:\n{''.join(lines)}")
        threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True).start()
        started.append(Served(httpx.Client(base_url=match[1], timeout=60), process, lines))
        while process.poll() is None and not started[-1].is_ready():
            time.sleep(0.02)
        return started[-1]

    yield start
    for served in started:
        served.end()


@pytest.fixture(scope="session")
def client(store: Path, serve: Serve) -> httpx.Client:
    """A client of a server of the session's store."""
    return serve("--store", store).client


@pytest.fixture(scope="session")
def families(
    line_bundle: Callable[[str], Path],
    made_once: Callable[..., Path],
    serve: Serve,
    request: pytest.FixtureRequest,
) -> httpx.Client:
    """A client of a server of each line of the law table that a selected test asks for."""
    asking = [test for test in request.session.items if "families" in test.fixturenames]  # type: ignore[attr-defined]
    names = dict.fromkeys(test.callspec.params["name"] for test in asking)  # type: ignore[attr-defined]

    def gather(folder: Path) -> None:
        # backwards, so as not to wait for a process that exports them one by one for test_onnx.py
        for name in reversed(names):
            (folder / slug(name)).symlink_to(line_bundle(name).parent)

    return serve("--store", made_once("families", gather)).client
