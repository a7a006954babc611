"""Ensembles as they were exported once load and answer as they did."""

import json
from pathlib import Path
from typing import Any

from tests.stored.files import app
from tests.stored.replies import check_replies

ENSEMBLES = Path(__file__).parent / "format_2_ensembles"


def says(found: Any, expected: Any) -> bool:
    """Whether a description says what was written; later code may say more."""
    if isinstance(expected, dict):
        return all(says(found[key], value) for key, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(says, found, expected))
    return bool(found == expected)


def test_an_ensemble_answers_as_it_did() -> None:
    (path,) = (ENSEMBLES / "answers").iterdir()
    manifest = json.loads((ENSEMBLES / "store" / path.stem / "1" / "manifest.json").read_text())
    with app(ENSEMBLES / "store") as client:
        check_replies(client, path.stem, ENSEMBLES)
        now = client.get(f"/models/{path.stem}").json()
    assert says(now, manifest)
