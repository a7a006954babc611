"""Serving needs no torch; training says what is missing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Everything that only training needs.
HEAVY = ("torch", "onnx", "sklearn", "scipy", "pyarrow", "safetensors", "matplotlib")

WITHOUT = f"""
import sys

# as if they were not installed
sys.modules.update(dict.fromkeys({HEAVY!r}))
"""


def run(code: str, *, cwd: Path, before: str = WITHOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(code)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_service_runs_without_torch(store: Path, tmp_path: Path) -> None:
    done = run(
        f"""
        import time

        from fastapi.testclient import TestClient
        from service.http.app import create_app
        from service.server import Server
        from service.settings import Settings

        server = Server(Settings(store={str(store)!r}, device="cpu"))
        with TestClient(create_app(server)) as client:
            while client.get("/health/ready").status_code != 200:
                time.sleep(0.02)
            x = client.post("/sample", json={{"model": "moons-maf", "n": 2}}).json()["x"]
            for endpoint, body in (
                ("/log_prob", {{"x": x}}),
                ("/encode", {{"x": x}}),
                ("/decode", {{"z": x}}),
                ("/interpolate", {{"start": x[0], "end": x[1]}}),
            ):
                answer = client.post(endpoint, json=body | {{"model": "moons-maf"}})
                assert answer.status_code == 200, answer.text
        loaded = [name for name, module in sys.modules.items() if module is not None]
        assert not [name for name in loaded if name.split(".")[0] in {HEAVY!r}]
        """,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_training_commands_say_what_is_missing(tmp_path: Path) -> None:
    commands = [
        command.split()
        for command in (
            "train moons-maf",
            "distill RUN digits-student",
            "evaluate RUN",
            "export RUN --store S",
            "ensemble RUN --store S",
        )
    ]
    code = f"from service.cli import main; print([main(command) for command in {commands!r}])"
    done = run(code, cwd=tmp_path)
    assert done.stdout == f"{[1] * len(commands)}\n", done.stderr
    for line, command in zip(done.stderr.splitlines(), commands, strict=True):
        assert line.startswith(f"bijecta: `bijecta {command[0]}` needs ")
        assert "pip install 'bijecta[train]'" in line


def test_help_and_serve_do_not_load_torch(tmp_path: Path) -> None:
    code = """
    import sys
    from service.cli import main
    try:
        main(["--help"])
    except SystemExit as end:
        assert end.code == 0
    main(["serve", "--store", "nowhere"])
    assert "torch" not in sys.modules
    """
    done = run(code, cwd=tmp_path, before="")
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout
