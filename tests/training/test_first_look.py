"""A table that is refused is refused before torch is imported, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.recipes import call_bijecta

# runs the command, then says whether it has imported torch
COMMAND = """
import sys
from service.cli import main
code = main(sys.argv[1:])
print("torch" in sys.modules, file=sys.stdout)
sys.exit(code)
"""
RECIPE = '[flow]\nfamily = "maf"\ntransforms = 1\nhidden = [8]\n[fit]\nepochs = 1\nthreads = 1\n'


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, "train", "mine.toml", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe, and a table two of whose columns have no density."""
    values = np.random.default_rng(0).normal(size=(60, 2))
    lines = [f"{a:.6f},{b:.6f},{3},red" for a, b in values]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    (tmp_path / "mine.toml").write_text(RECIPE)
    return tmp_path


def test_a_refused_table_has_not_waited_for_torch_and_all_its_problems_are_said(
    folder: Path,
) -> None:
    done = train(folder, "--data", "rows.csv")
    assert done.returncode == 1
    assert "column 'c' is 3 in every row" in done.stderr
    assert "column 'd' holds string" in done.stderr
    assert done.stdout == "False\n"


def test_what_else_is_refused_at_once_waits_for_no_torch_either(folder: Path) -> None:
    for arguments, words in (
        (("--data", "absent.csv"), "no data file at"),
        (("--data", "rows.csv", "--name", "Mine"), "cannot be the name of a model"),
    ):
        done = train(folder, *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stdout == "False\n"


def test_a_table_that_is_not_refused_goes_on_to_be_trained(folder: Path) -> None:
    (folder / "mine.toml").write_text(RECIPE.replace("[flow]", '[data]\ndrop = ["c", "d"]\n[flow]'))
    done = call_bijecta("train", "mine.toml", "--data", "rows.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "run in runs/mine" in done.stdout
