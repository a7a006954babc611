"""The README's own commands, run against the trained store, answer as they are printed there."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from training import recipe

README = (Path(__file__).parents[1] / "README.md").read_text()


def printed(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def same(found: Any, expected: Any) -> bool:
    """Equal but for the last digits, which depend on the machine that trained the flow."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[k], expected[k]) for k in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, rel=1e-3, abs=1e-3))
    return bool(found == expected)


@pytest.mark.slow
def test_requests_answer_as_printed(serve: Serve, tmp_path: Path) -> None:
    served = serve("--store", Path(os.environ.get("STORE", "store")))
    address = f"127.0.0.1:{served.client.base_url.port}"
    commands = [c for block in printed("console") for c in block.split("$ ")[1:]]
    assert len(commands) >= 10
    for command in commands:
        line, _, expected = command.partition("\n")
        line = line.replace("localhost:8000", address).replace("python3", sys.executable)
        found = subprocess.run(
            line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        if expected.startswith("{"):
            assert same(json.loads(found), json.loads(expected)), f"{line}\n{found}"
        else:
            assert found.strip() == expected.strip(), line


def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = printed("python")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "True", done.stderr


def test_the_recipe_examples_are_sound() -> None:
    examples = printed("toml")
    assert len(examples) == 2
    for example in examples:
        assert recipe.Recipe.model_validate(tomllib.loads(example)).flow.family == "maf"
