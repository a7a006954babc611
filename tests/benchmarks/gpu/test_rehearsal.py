"""`make gpu-check` at toy size on the CPU, so that it works where a GPU is at hand."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.gpu.__main__ import GOES_ON, main


@pytest.mark.long
def test_both_halves_find_all_that_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPU_CHECK", "rehearse")
    where = ["--folder", str(tmp_path), "--results", str(tmp_path)]
    assert main(["agree", *where]) == 2
    assert "make gpu-check-bundles" in capfd.readouterr().err
    assert main(["bundles", *where]) == 0
    assert main(["speed", *where, "--minutes", "0"]) == GOES_ON
    assert main(["agree", *where]) == 0
    main(["speed", *where])  # its bars mean nothing here
    said = json.loads((tmp_path / "gpu_check.json").read_text())["found"]
    assert not [name for name, found in said.items() if "error" in found], capfd.readouterr()
    assert {name.split()[0] for name in said} == {
        "agree", "memory", "graph", "http", "torch", "training", "training,",
    }  # fmt: skip
    assert {name for name in said if name.startswith("http")} == {
        f"http {name} 8"
        for name in (
            "digits encode", "bsds300 encode", "mnist encode", "mnist decode", "mnist sample",
            "student decode", "student sample",
        )
    }  # fmt: skip
    page = (tmp_path / "gpu_check.md").read_text()
    assert "a rehearsal" in page.splitlines()[0]
