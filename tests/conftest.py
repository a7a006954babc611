"""Small flows trained for seconds, exported once a session, and served."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from tests.helpers.ensembles import export_ensembles, train_again
from tests.helpers.examples import register_profiles
from tests.helpers.recipes import RECIPES, call_bijecta, recipe_text, write_lifted_moons
from tests.helpers.servers import Serve, Served

# The processes of a test run share the cores: more threads would wait for each other. It is read
# when torch is imported. The process that hands out tests imports neither torch nor scikit-learn,
# for which the others would wait.
os.environ["OMP_NUM_THREADS"] = "1"
register_profiles()
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that import onnxruntime before the service does


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders that the first of the test processes to ask for them makes, for all of them."""
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent  # each process has a folder of its own in it

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        path, mark = top / name, name.replace("/", "-")
        done = top / f"{mark}.done"
        with FileLock(top / f"{mark}.lock"):
            if not done.exists():
                path.mkdir(parents=True, exist_ok=True)
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
            done = call_bijecta("train", f"{name}.toml", "--out", name, cwd=folder)
            assert done.returncode == 0, done.stderr

    return made_once("runs", train)


@pytest.fixture(scope="session")
def store(runs: Path, made_once: Callable[..., Path]) -> Path:
    """A store of one bundle for each recipe. Not to be written to: copy it."""

    def export(folder: Path) -> None:
        layers = ["--layers"] if folder.name.startswith("moons-") else []
        done = call_bijecta("export", folder.name, "--store", folder.parent, *layers, cwd=runs)
        assert done.returncode == 0, done.stderr

    # from opposite ends, so that a second process exports too and does not wait for the first
    odd = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:] in ("1", "3")
    for name in reversed(RECIPES) if odd else RECIPES:
        path = made_once(f"store/{name}", export)
    return path.parent


@pytest.fixture(scope="session")
def ensembles(runs: Path, store: Path, made_once: Callable[..., Path]) -> Path:
    """Runs, and in its folder `store` their ensembles beside their own bundles."""

    def make(folder: Path) -> None:
        train_again(runs, folder)
        export_ensembles(folder, store)

    return made_once("ensembles", make)


@pytest.fixture(scope="session")
def line_bundle(made_once: Callable[..., Path]) -> Callable[[str], Path]:
    """The bundle of a line of the law table: its name → store/<slug>/1."""
    from tests.helpers.bundles import slug, write_bundle  # which imports torch

    def path(name: str) -> Path:
        folder = made_once(f"line-{slug(name)}", lambda folder: write_bundle(name, folder))
        return folder / "store" / slug(name) / "1"

    return path


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """Start `bijecta serve` with options, or a program that does; ended with the session."""
    started: list[Served] = []

    def start(*options: str | Path, program: str = "") -> Served:
        command = ["-c", program] if program else ["-m", "service.cli"]
        process = subprocess.Popen(
            [sys.executable, *command, "serve", "--port", "0", *map(str, options)],
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
    for served in started:  # all at once: each takes a moment
        served.client.close()
        served.process.terminate()
    for served in started:
        served.process.wait(timeout=40)


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
    from tests.helpers.bundles import slug  # which imports torch

    asking = [test for test in request.session.items if "families" in test.fixturenames]  # type: ignore[attr-defined]
    names = dict.fromkeys(test.callspec.params["name"] for test in asking)  # type: ignore[attr-defined]

    def gather(folder: Path) -> None:
        # backwards, so as not to wait for a process that exports them one by one for test_onnx.py
        for name in reversed(names):
            (folder / slug(name)).symlink_to(line_bundle(name).parent)

    return serve("--store", made_once("families", gather)).client
