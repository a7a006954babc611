"""Two workers of Ray come to what this process comes to."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.bulk import BulkError, Decision, by_ray
from tests.service.bulk.conftest import Score, read, write


class StartedError(Exception):
    """Ray would have been started, or asked for."""


def start(init: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to score by a Ray that has no more than this."""
    ray: Any = ModuleType("ray")
    ray.is_initialized, ray.init, ray.data = bool, init, ModuleType("ray.data")
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    anything: Any = None
    next(by_ray(Path(), "cpu", Decision(), workers=2)(anything, anything, 0, anything))


@pytest.mark.parametrize(
    ("address", "started"),
    [
        (None, ("local", 2)),
        ("", ("local", 2)),
        ("local", ("local", 2)),
        ("auto", ("auto", None)),
        ("10.0.0.1:6379", ("10.0.0.1:6379", None)),
    ],
)
def test_a_cluster_that_is_there_is_not_told_its_cpus(
    address: str | None, started: tuple[str, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(address: str, *, num_cpus: int | None, **_: Any) -> None:
        raise StartedError(address, num_cpus)

    if address is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(StartedError) as caught:
        start(init, monkeypatch)
    assert caught.value.args == started


@pytest.mark.parametrize(
    "error", [ValueError("Invalid address format: a"), ConnectionError("none"), RuntimeError("no")]
)
def test_an_address_without_a_cluster_is_named(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setenv("RAY_ADDRESS", "a")
    with pytest.raises(BulkError, match=f"Ray at 'a': {error}"):
        start(init, monkeypatch)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_two_workers_give_the_same_rows_in_order(score: Score, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'bijecta[ray]'")
    rng = np.random.default_rng(0)
    files = []
    for i, ending in enumerate([".parquet", ".csv", ".parquet", ".arrows", ".parquet"]):
        a, b = rng.normal(size=(2, 500))
        a[100] = np.nan
        ids = [f"{i}-{k}" for k in range(500)]
        content = pa.table({"id": ids, "a": a, "b": b})
        options = {"row_group_size": 120} if ending == ".parquet" else {}
        files.append(write(tmp_path / f"{i}{ending}", content, **options))
    files[2].write_text("no Parquet")
    outs = [tmp_path / "threads.parquet", tmp_path / "ray.parquet"]
    arguments = ("tiny", *files, "--keep", "id", "--on-error", "skip", "--quiet")
    assert score(*arguments, "--out", outs[0]) == 3
    assert score(*arguments, "--out", outs[1], "--engine", "ray", "--workers", "2") == 3
    expected, found = (read(out) for out in outs)
    scores = [[row.pop("log_prob") for row in rows] for rows in (expected, found)]
    assert len(found) == 4 * 499
    assert found == expected
    np.testing.assert_allclose(scores[1], scores[0], rtol=0, atol=1e-5)
    reports = [Path(f"{out}.skipped.ndjson").read_text() for out in outs]
    assert reports[1] == reports[0]
    assert len(reports[0].splitlines()) == 5
