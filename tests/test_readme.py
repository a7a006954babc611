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

from models import zoo
from service.bundle import files as bundle
from tests.helpers.bundles import write_bundle
from tests.helpers.servers import Serve
from tests.laws import test_bijections
from tests.laws.zoo_table import FLOWS, Line
from training.config import recipe

README = (Path(__file__).parents[1] / "README.md").read_text()


def printed(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def python_example(words: str) -> str:
    (example,) = (block for block in printed("python") if words in block)
    return example


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


@pytest.mark.long
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


@pytest.mark.long
def test_the_client_answers_as_printed(serve: Serve) -> None:
    served = serve("--store", Path(os.environ.get("STORE", "store")))
    example = python_example("service.client")
    expected = re.findall(r"print\(.*\)  # (.*)", example)
    assert len(expected) == 3
    example = example.replace("localhost:8000", f"127.0.0.1:{served.client.base_url.port}")
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == expected, done.stderr


def test_the_python_example_runs(tmp_path: Path) -> None:
    example = python_example("models import zoo")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "True", done.stderr


def test_the_recipe_examples_are_sound() -> None:
    examples = printed("toml")
    recipes = [recipe.Recipe.model_validate(tomllib.loads(example)) for example in examples]
    assert [one.flow.family for one in recipes] == ["maf", "maf", "iaf"]


def test_a_flow_of_your_own_keeps_the_laws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {"__name__": __name__}
    exec(python_example("class Turned"), made)
    entry, line = re.search(r"`(\"turned\": .*?)`", README), re.search(r"`(\"turned c.*?)`", README)
    assert entry is not None
    assert line is not None
    for table, added in ((zoo.FAMILIES, entry[1]), (FLOWS, line[1])):
        for name, value in eval(f"{{{added}}}", made | {"Line": Line}).items():
            monkeypatch.setitem(table, name, value)
    for bar in test_bijections.BARS:
        test_bijections.test_round_trip_both_ways_and_log_dets_cancel("turned context", bar)
    test_bijections.test_log_det_is_that_of_the_jacobian("turned context")
    write_bundle("turned context", tmp_path)
    assert bundle.read(tmp_path / "store" / "turned-context" / "1").family == "turned"
