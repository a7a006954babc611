"""Whatever the files of a run hold: a run, or one line that says which file and what is wrong."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.helpers.examples import examples
from tests.helpers.hostile_values import JSON_VALUES, json_text
from tests.helpers.recipes import call_bijecta, recipe_text
from training.errors import RunError
from training.runs import Run

RUN: dict[str, Any] = {
    "format": 2,
    "name": "some",
    "recipe": {
        "data": {"kind": "table", "source": "rows.csv", "labels": "sort"},
        "flow": {"family": "maf", "preprocessing": "standardize", "hidden": [8]},
        "fit": {"epochs": 3},
        "distill": {"rows": 10, "losses": [{"kind": "kl", "weight": 1.0}]},
    },
    "flow": {
        "family": "maf",
        "event_shape": [2],
        "preprocessing": [
            {"kind": "logit", "low": -9.0, "high": [8.0, 9.0]},
            {"kind": "standardize", "mean": 0.0, "scale": [1.0, 2.5]},
            {"kind": "whiten", "matrix": [[1.0, 0.0], [0.5, 1.0]]},
        ],
        "options": {"transforms": 2, "hidden": [8], "base_options": {}},
        "context": {"columns": [{"mean": 0.0, "scale": 1.0}, {"classes": [0, 1]}], "embedding": 2},
    },
    "data_sha256": "0" * 64,
    "teacher": {"name": "other", "folder": "/gone", "sha256": "0" * 64},
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, (*path, key))
        yield (*path, "more")
    if isinstance(value, list):
        for i, one in enumerate(value):
            yield from _places(one, (*path, i))


PLACES = tuple(_places(RUN))


def with_value(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the content with another value at a place."""
    if not place:
        return value
    changed = copy.deepcopy(content)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def check(folder: Path, content: Any) -> None:
    """Open a run and build its flow."""
    (folder / "run.json").write_text(json_text(content), encoding="utf-8")
    try:
        run = Run.open(folder)
        run.new_flow()
    except RunError as error:
        said = str(error)
        assert str(folder / "run.json") in said
        assert "\n" not in said
        assert len(said) < 4000


def test_the_run_that_is_changed_is_sound(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json_text(RUN))
    assert Run.open(tmp_path).new_flow().context_shape == (2,)


@examples(60)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(JSON_VALUES))
def test_any_value_in_a_run_file_makes_a_run_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    check(tmp_path_factory.getbasetemp(), with_value(RUN, place, value))


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_all_values_in_a_run_file_make_a_run_or_one_line(
    tmp_path: Path, place: tuple[Any, ...]
) -> None:
    for value in JSON_VALUES:
        check(tmp_path, with_value(RUN, place, value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "is damaged: "),
        (b"", "is damaged: "),
        (b"\xff\xfe\x00", "is damaged: "),
        (b'"text"', "expected an object of keys, got 'text'"),
        (b'{"name": ' + b"9" * 5000 + b"}", "is damaged: Exceeds the limit"),
        (json_text(with_value(RUN, ("flow", "family"), "mof")), "flow: family is one of nice, "),
        (
            json_text(with_value(RUN, ("recipe", "flow", "family"), "mof")),
            "recipe.flow: family is one of nice, ",
        ),
        (
            json_text(with_value(RUN, ("recipe", "fit", "epocs"), 3)),
            "recipe.fit.epocs is no key of a recipe: is epochs meant?",
        ),
        (json_text(with_value(RUN, ("flow", "event_shape"), [10**9])), "rows of 1000000000 "),
        (json_text(with_value(RUN, ("recipe", "fit", "seed"), 10**23)), "recipe.fit.seed: "),
    ],
)
def test_a_damaged_run_file_is_said_in_one_line(
    tmp_path: Path, content: bytes | str, words: str
) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = call_bijecta("evaluate", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"bijecta: {path}")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


PROGRESS = {"epoch": 1, "best_epoch": 1, "best_score": -3.0, "seconds": 1.0, "finished": False}


@pytest.mark.parametrize(
    "progress",
    [
        None,
        "",
        "[]",
        "7",
        "{",
        "[" * 100_000,
        json.dumps(PROGRESS | {"epoch": "one"}),
        json.dumps(PROGRESS | {"epoch": -1}),
        json.dumps(PROGRESS | {"epoch": None}),
        json.dumps(PROGRESS | {"best_epoch": 2}),
        json.dumps(PROGRESS | {"seconds": float("nan")}),
        json.dumps(PROGRESS | {"step": 10**40}),
        json.dumps(PROGRESS | {"scaler": {"scale": "x"}}),
    ],
)
def test_damaged_progress_is_said_in_one_line(
    runs: Path, tmp_path: Path, progress: str | None
) -> None:
    """The state is that of a run; its progress is not."""
    run = Run.open(runs / "moons-maf")
    state = runs / "moons-maf" / "state.safetensors"
    changed = Run(tmp_path, run.file)
    metadata = None if progress is None else {"progress": progress}
    save_file(load_file(state), tmp_path / "state.safetensors", metadata)
    with pytest.raises(RunError) as refusal:
        changed.load_state(flow=run.new_flow())
    said = str(refusal.value)
    assert said.startswith(f"{tmp_path / 'state.safetensors'} is damaged: ")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["state.safetensors", "weights.safetensors"])
@pytest.mark.parametrize("cut", ["whole", "half", "other"])
def test_damaged_tensors_are_said_in_one_line(
    runs: Path, tmp_path: Path, name: str, cut: str
) -> None:
    run = Run.open(runs / "moons-maf")
    content = (runs / "moons-maf" / name).read_bytes()
    if cut == "other":
        content = (runs / "digits-maf" / name).read_bytes()
    (tmp_path / name).write_bytes(
        b"" if cut == "whole" else content[: -10 if cut == "half" else None]
    )
    changed = Run(tmp_path, run.file)
    flow = run.new_flow()
    with pytest.raises(RunError) as refusal:
        _ = changed.load_state(flow=flow) if name.startswith("state") else changed.best_flow()
    assert "is damaged: " in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_damaged_log_does_not_end_a_training(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text(recipe_text("moons-maf", epochs=1))
    log = tmp_path / "runs" / "short" / "log.jsonl"
    assert call_bijecta("train", "short.toml", cwd=tmp_path).returncode == 0
    log.write_bytes(b"\xff\xfe\n" + log.read_bytes())
    done = call_bijecta("train", "short.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
