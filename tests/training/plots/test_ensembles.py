"""Plots of ensembles: draws are those of a server, and plots of latents are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.plotted import STORE
from training.errors import PlotError
from training.plots import KINDS, Subject, open_subject

ENSEMBLES = STORE.parents[1] / "format_2_ensembles"
OF_LATENTS = ("layers", "interpolation", "latents", "pit")


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """The stored ensemble, beside rows of its shape."""
    data = tmp_path / "rows.npy"
    np.save(data, np.random.default_rng(0).normal(size=(60, 3)))
    return open_subject(ENSEMBLES / "store" / "maf-nsf", data)


def answers(path: str) -> list[dict[str, Any]]:
    """What a server answered to requests of a path."""
    said = json.loads((ENSEMBLES / "answers" / "maf-nsf.json").read_text())
    return [one["answer"] for one in said if one["path"] == path and one["status"] == 200]


def test_draws_are_those_of_a_server(subject: Subject) -> None:
    answer = answers("/sample")[0]
    z = subject.latents(6, answer["seed"])
    x, log_prob = subject.decode(z)
    assert z[:, -1].tolist() == answer["member"]
    np.testing.assert_allclose(x, answer["x"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_prob, answer["log_prob"], rtol=1e-4, atol=1e-4)


def test_rows_come_back_by_the_member_that_is_most_responsible(subject: Subject) -> None:
    rows = subject.rows.values
    z, log_prob = subject.encode(rows)
    assert set(z[:, -1]) == {0.0, 1.0}
    back, again = subject.decode(z)
    np.testing.assert_allclose(back, rows, atol=1e-4)
    np.testing.assert_allclose(again, log_prob, atol=1e-3)


@pytest.mark.parametrize("name", [*OF_LATENTS, "pairs", "coverage"])
def test_what_is_of_latents_alone_is_refused(subject: Subject, name: str) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    if name not in OF_LATENTS:
        kind.draw(subject, 0)
        return
    with pytest.raises(PlotError, match="its members have latents of their own"):
        kind.draw(subject, 0)
