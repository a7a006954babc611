"""Models of tables as they were trained and exported once load and answer as they did."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.recipes import call_bijecta
from tests.stored.files import STORED_AT, app

FORMAT_2 = Path(__file__).parent / "format_2"
MODELS = sorted(path.name for path in (FORMAT_2 / "store").iterdir())

# all is float64, whose last digits differ between makes of processors
RELATIVE = 1e-9


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Compare answers: numbers nearly, all else exactly; later code may say more."""
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where} {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where} {i}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=RELATIVE, abs=RELATIVE), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("model", MODELS)
def test_tables_answer_as_they_did(model: str, tmp_path: Path) -> None:
    said = json.loads((FORMAT_2 / "answers" / f"{model}.json").read_text())
    manifest = json.loads((FORMAT_2 / "store" / model / "1" / "manifest.json").read_text())
    (tmp_path / model).symlink_to(FORMAT_2 / "store" / model)  # each takes seconds to load
    with app(tmp_path) as client:
        for one in said:
            reply = client.post(one["path"], json=one["body"])
            assert reply.status_code == one["status"], (one, reply.text)
            if one["status"] == 200:
                assert_same(reply.json(), one["answer"], one["path"])
            else:
                assert reply.json()["type"] == one["answer"]["type"]
        now = client.get(f"/models/{model}").json()
    assert_same({key: now[key] for key in manifest}, manifest, "manifest")


@pytest.mark.parametrize("model", MODELS)
def test_runs_of_tables_score_as_they_did_and_export(model: str, tmp_path: Path) -> None:
    run = tmp_path / model
    run.mkdir()
    for path in (FORMAT_2 / "runs" / model).iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    text = (run / "run.json").read_text().replace(STORED_AT, str(FORMAT_2))
    (run / "run.json").write_text(text)
    expected = json.loads((run / "evaluation.json").read_text())
    done = call_bijecta("export", run, "--store", tmp_path / "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same(json.loads((run / "evaluation.json").read_text()), expected, "evaluation")
