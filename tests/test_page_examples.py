"""The pages' longer examples, run as they are printed against the store of `make serve`."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.pages import ALL_BLOCKS, Block, commands
from tests.helpers.payments import payment_lines
from tests.helpers.servers import Serve, Served

pytestmark = pytest.mark.long

LONG = [block for block in ALL_BLOCKS if block.check == "make test-long"]


def of(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [b for b in LONG if b.language == language], ids=str)


@pytest.fixture(scope="module")
def served(serve: Serve) -> Served:
    return serve("--store", Path(os.environ.get("STORE", "store")))


def same(found: Any, expected: Any) -> bool:
    """Alike as two trainings of one recipe on two makes of processor are.

    Rounding differs between them, and training amplifies it: one commit gave the first point a
    log_prob of −4.52 on one and of −4.69 on another, at equal held-out scores, and latents of
    another orientation. So names, whole numbers, texts and shapes are equal; other numbers are
    finite. What they must be is held by tests/test_acceptance.py and the laws.
    """
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[k], expected[k]) for k in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, float) and math.isfinite(found)
    return bool(found == expected)


def numbers(text: str) -> tuple[str, list[float]]:
    """What a program prints, without its numbers, and these."""
    number = re.compile(r"-?\d+\.\d*(?:e-?\d+)?")
    return re.sub(r"\s+", " ", number.sub("#", text)).strip(), list(
        map(float, number.findall(text))
    )


def assert_alike(found: str, expected: str, where: str) -> None:
    """See that a program printed what it should, numbers about as large."""
    (words, values), (expected_words, expected_values) = numbers(found), numbers(expected)
    assert words == expected_words, f"{where}\n{found}"
    assert values == pytest.approx(expected_values, rel=0.25, abs=0.5), f"{where}\n{found}"


@of("console")
def test_requests_answer_as_printed(block: Block, served: Served, tmp_path: Path) -> None:
    address = f"127.0.0.1:{served.client.base_url.port}"
    for command, printed in commands(block):
        line = command.replace("localhost:8000", address).replace("python3", sys.executable)
        found = subprocess.run(
            line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        if printed.startswith("{"):
            assert same(json.loads(found), json.loads(printed)), f"{line}\n{found}"
        else:
            assert_alike(found, printed, line)


@of("python")
def test_the_client_prints_what_the_comments_say(block: Block, served: Served) -> None:
    text = block.text.replace("localhost:8000", f"127.0.0.1:{served.client.base_url.port}")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    expected = re.findall(r"print\(.*\)  # (.*)", text)
    assert expected
    assert done.returncode == 0, done.stderr
    assert_alike(done.stdout, "\n".join(expected), str(block))


@of("sh")
def test_a_table_of_ones_own_is_trained_and_served(
    block: Block, serve: Serve, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    table = "\n".join(f"{x:.6f},{y:.6f}" for x, y in rng.normal(size=(400, 2)))
    (tmp_path / "rows.csv").write_text(f"width,height\n{table}\n")
    (tmp_path / "my.toml").write_text('[flow]\nfamily = "maf"\n')
    (tmp_path / "payments.csv").write_text("\n".join(payment_lines()) + "\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    *work, last = block.text.strip().splitlines()
    for line in work:
        command = line.replace(".venv/bin/bijecta", f"{sys.executable} -m service.cli")
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert last == ".venv/bin/bijecta serve --store store"
    answer = serve("--store", tmp_path / "store").client.post("/sample", json={"n": 2})
    assert len(answer.json()["x"]) == 2
