"""A half that ends early goes on where it was, and its results are read as they should be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.gpu import agree, loaded, speed
from tests.benchmarks.gpu.page import page
from tests.benchmarks.gpu.plan import CARD, REHEARSAL, STORED
from tests.benchmarks.gpu.steps import OutOfTimeError, Steps
from training.export.verify import BARS

MACHINE = {"gpu": "NVIDIA H1", "onnxruntime": "1.31.1"}


def steps(path: Path, seconds: float = 60, machine: dict[str, str] = MACHINE) -> Steps:
    return Steps(path / "found.json", machine, seconds)


def test_what_is_known_is_not_done_again(tmp_path: Path) -> None:
    steps(tmp_path).do("a", lambda: 1)
    again = steps(tmp_path)
    again.do("a", lambda: 2)
    again.do("b", lambda: 3)
    assert again.found == {"a": 1, "b": 3}
    assert steps(tmp_path, machine={"gpu": "another"}).found == {}


def test_no_step_begins_when_the_time_is_up(tmp_path: Path) -> None:
    steps(tmp_path).do("a", lambda: 1)
    late = steps(tmp_path, seconds=-1)
    late.do("a", lambda: 2)
    with pytest.raises(OutOfTimeError):
        late.do("b", lambda: 2)
    assert late.found == {"a": 1}


def test_a_step_that_fails_is_tried_once_more(tmp_path: Path) -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise ValueError("no")

    for _ in range(4):
        one = steps(tmp_path)
        one.do("a", fail)
        one.do("b", lambda: 1)
        assert one.errors == {"a": "ValueError: no"}
    assert len(tries) == 2
    assert one.found["b"] == 1


def test_a_step_that_ends_the_process_is_left_out_in_the_end(tmp_path: Path) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            steps(tmp_path).do("a", end)
    last = steps(tmp_path)
    last.do("a", end)
    last.do("b", lambda: 1)
    assert last.errors == {"a": "it ended the process"}


@pytest.mark.parametrize("wrong", [False, True])
def test_answers_that_differ_are_seen(wrong: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(REHEARSAL, families=("maf-context",))
    ask = loaded.ask

    def asked(*args: Any, **options: Any) -> Any:
        found = ask(*args, **options)
        if options.get("runs") != 1:  # of the device
            found = {name: values + 1e-3 for name, values in found.items()}
        return found

    if wrong:
        monkeypatch.setattr(agree, "ask", asked)
    said = agree._errors(STORED / "maf-context" / "1", plan)
    bars = agree.bars({"agree maf-context": said}, plan)
    assert len(bars) == len(BARS)
    assert all(bar.held for bar in bars) is not wrong
    if not wrong:
        assert max(said.values()) < 1e-6


def test_a_value_that_is_none_on_one_device_is_an_error() -> None:
    with pytest.raises(ValueError, match="z is finite on one device alone"):
        agree._check_finite({"z": np.array([1.0, np.inf])}, {"z": np.array([1.0, 2.0])})


def found(**changes: Any) -> dict[str, Any]:
    mib = 2**20
    return {
        "agree maf": dict.fromkeys(BARS, 1e-7),
        "memory": {"batches": 10_000, "first": 900 * mib, "last": 910 * mib, "course": [900 * mib]},
        "graph mnist decode 256": {speed.LOOP: 100.0, speed.ENGINE: 90.0},
        "graph mnist decode 1": {speed.LOOP: 100.0, speed.ENGINE: 90.0},
        "http mnist decode 256": {speed.HTTP: 71.0},
        "http mnist sample 256": {speed.HTTP: 70.5},
        "torch mnist decode 256": {speed.EAGER: 10.0, speed.COMPILED: 80.0},
        "training": {"steps a second": 12.0},
    } | changes


def every_bar(results: dict[str, Any]) -> list[Any]:
    return [*agree.bars(results, CARD), *speed.bars(results, CARD)]


def test_bars_are_those_of_the_results() -> None:
    assert all(bar.held for bar in every_bar(found()))
    assert len(every_bar(found())) == len(BARS) + 2 + 3
    for name, said in {
        "agree maf": dict.fromkeys(BARS, 1e-3),
        "memory": {"batches": 10_000, "first": 0, "last": 10**9, "course": []},
        "http mnist sample 256": {speed.HTTP: 69.0},
        "torch mnist decode 256": {speed.EAGER: 10.0, speed.COMPILED: 91.0},
    }.items():
        assert not all(bar.held for bar in every_bar(found(**{name: said})))


def test_the_page_shows_all_of_it_and_what_went_wrong(tmp_path: Path) -> None:
    results = found(**{"http mnist encode 256": {"error": "RuntimeError: 500"}})
    content = {"machine": MACHINE, "found": results, "tries": {}, "seconds": {}}
    (tmp_path / "found.json").write_text(json.dumps(content))
    said = page(steps(tmp_path), every_bar(results))
    assert said.startswith("# On NVIDIA H1\n")
    assert "| mnist | decode | 256 | 100 |  | 90 |  | 71 | 10 | 80 |" in said
    assert "- **failed** http mnist encode 256: RuntimeError: 500" in said
    assert f"{len(BARS) + 5} of {len(BARS) + 5} are held." in said
    assert "Steps a second" in said
