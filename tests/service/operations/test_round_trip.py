"""Rows that do not come back from their latents are named, by bounds or by going back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from service import bundle
from service.operations.rows import round_trip
from tests.helpers.http import ARROW, DIGITS, MOONS, NPY, to_npy

FAR = MOONS[:6].copy()
FAR[[1, 4]] = MOONS[[1, 4]] + [[3e5, -2e5], [-1e6, 4e6]]


@pytest.mark.parametrize("name", ["moons-iaf", "moons-maf", "digits-maf"])
def test_no_held_out_row_is_beyond_the_bounds(client: httpx.Client, store: Path, name: str) -> None:
    bounds = bundle.read(store / name / "1").round_trip
    assert bounds is not None
    assert bounds.rows > 100
    assert bounds.unflagged <= bounds.inexact / 20
    rows = DIGITS if "digits" in name else MOONS
    for body in ({}, {"check": True}):
        answer = client.post("/encode", json={"model": name, "x": rows.tolist()} | body).json()
        assert "inexact_rows" not in answer
    assert max(answer["residual"]) <= bounds.tolerance


@pytest.mark.parametrize("name", ["moons-iaf", "digits-maf"])
def test_nearly_all_rows_that_do_not_come_back_are_named(client: httpx.Client, name: str) -> None:
    rows = DIGITS if "digits" in name else MOONS[:50]
    rng = np.random.default_rng(3)
    distance = np.exp(rng.uniform(-1, 7, (len(rows), 1)))
    far = rows + distance * np.ptp(rows) * rng.uniform(-1, 1, rows.shape)
    body = {"model": name, "x": far.tolist()}
    named = client.post("/encode", json=body).json()
    checked = client.post("/encode", json=body | {"check": True}).json()
    off = [i for i, r in enumerate(checked["residual"]) if r is None or r > 1e-4]
    assert checked.get("inexact_rows", []) == off
    assert off or name == "moons-iaf"  # of three epochs all rows come back
    assert len(set(off) - set(named.get("inexact_rows", []))) <= len(off) / 20
    assert checked["z"] == named["z"]
    back = client.post("/decode", json={"model": name, "z": named["z"]}).json()
    again = np.array(back["x"], float)
    bounds = np.asarray(client.get(f"/models/{name}").json()["round_trip"]["scale"])
    given = np.float64(np.float32(far))
    expected = (np.abs(again - given) / np.maximum(bounds, np.abs(given))).max(1)
    found = np.array(checked["residual"], float)
    close = np.isfinite(found) & (found < 1)
    np.testing.assert_allclose(found[close], expected[close], rtol=0.05, atol=1e-5)


def test_rows_are_named_by_every_endpoint_with_latents_and_in_every_format(
    client: httpx.Client,
) -> None:
    body = {"model": "moons-maf", "x": FAR.tolist()}
    encoded = client.post("/encode", json=body).json()
    assert encoded["inexact_rows"] == [1, 4]
    decoded = client.post("/decode", json={"model": "moons-maf", "z": encoded["z"]}).json()
    assert decoded["inexact_rows"] == [1, 4]
    ends = {"start": FAR[0].tolist(), "end": FAR[4].tolist(), "steps": 3}
    path = client.post("/interpolate", json={"model": "moons-maf"} | ends).json()
    assert path["inexact_rows"][-1] == 2
    npy, query = to_npy(FAR.astype(np.float32)), {"model": "moons-maf"}
    for accept in (NPY, ARROW):
        headers = {"content-type": NPY, "accept": accept}
        answer = client.post("/encode", content=npy, params=query, headers=headers)
        assert answer.headers["x-bijecta-inexact-rows"] == "1,4"


def test_a_check_of_latents_encodes_again(client: httpx.Client) -> None:
    z = np.random.default_rng(0).standard_normal((5, 2))
    z[3] = 1e5
    body = {"model": "moons-iaf", "z": z.tolist(), "check": True}
    answer = client.post("/decode", json=body).json()
    assert list(answer)[2:5] == ["x", "log_prob", "residual"]
    usual = [r for i, r in enumerate(answer["residual"]) if i != 3]
    assert max(usual) < 1e-4
    assert set(answer.get("inexact_rows", [])) <= {3}


def test_a_check_goes_with_partial_and_with_no_rows(client: httpx.Client) -> None:
    rows = MOONS[:4].copy()
    rows[2] = 1e38
    body = {"model": "moons-maf", "x": rows.tolist(), "partial": True, "check": True}
    answer = client.post("/encode", json=body).json()
    assert answer["residual"][2] is None
    assert [error["row"] for error in answer["errors"]] == [2]
    assert "inexact_rows" not in answer
    empty = client.post("/encode", json=body | {"x": []}).json()
    assert empty["residual"] == []


def model(**bounds: Any) -> Any:
    found = SimpleNamespace(tolerance=1e-4, z=5.0, log_prob=None, scale=2.0)
    found.__dict__.update(bounds)
    return SimpleNamespace(manifest=SimpleNamespace(round_trip=found))


def test_either_bound_names_a_row() -> None:
    z = np.array([[1, -6], [5, 0], [0, 1], [2, 7]], np.float32)
    log_prob = np.array([-1, -2, -90, np.nan], np.float32)
    assert round_trip.rows_far_out(model(), z, log_prob) == [0, 3]
    assert round_trip.rows_far_out(model(log_prob=-50.0), z, log_prob) == [0, 2, 3]
    older: Any = SimpleNamespace(manifest=SimpleNamespace(round_trip=None))
    assert round_trip.rows_far_out(older, z, log_prob) == []


def test_a_residual_is_a_part_of_the_range_or_of_the_size_of_a_coordinate() -> None:
    x = np.array([[0, 1], [100, 0], [0, 0], [1, 1]], np.float32)
    back = np.array([[0.2, 1], [101, 0], [0, 0], [np.nan, 1]], np.float32)
    found = round_trip.residual_of_data(model(), x, back)
    np.testing.assert_allclose(found, [0.1, 0.01, 0, np.inf], rtol=1e-6)
    older: Any = SimpleNamespace(manifest=SimpleNamespace(round_trip=None))
    for unit in (1e-20, 1.0, 1e20):
        found = round_trip.residual_of_data(older, x * np.float32(unit), back * np.float32(unit))
        np.testing.assert_allclose(found, [0.2, 0.01, 0, np.inf], rtol=1e-5)
    latents = round_trip.residual_of_latents(x, back)
    np.testing.assert_allclose(latents, [0.2, 0.01, 0, np.inf], rtol=1e-5)
