"""Ensembles are exact mixtures of their members, whoever asks them and how."""

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.special import logsumexp
from scipy.stats import binom

from service.bundle import EnsembleManifest, read
from service.operations.ensembles.draws import MemberLatents
from service.operations.ensembles.requests import to_members
from tests.helpers.http import ARROW, DIGITS, MOONS, ask, ask_npy, assert_problem
from tests.stored.files import app

MIXTURE, CONTEXT, BOX = "moons-mixture", "context-mixture", "digits-mixture"
MEMBERS = ["moons-maf", "moons-iaf"]


@pytest.fixture(scope="module")
def mixtures(ensembles: Path) -> Iterator[TestClient]:
    with app(ensembles / "store") as client:
        yield client


@pytest.fixture(scope="module")
def manifest(ensembles: Path) -> EnsembleManifest:
    found = read(ensembles / "store" / MIXTURE / "1")
    assert isinstance(found, EnsembleManifest)
    return found


def bound(manifest: EnsembleManifest) -> float:
    """By how much log_prob of a graph may be off, in nats."""
    return 1e-4 * manifest.dimensions


def test_log_prob_is_that_of_the_members_own_bundles(
    mixtures: TestClient, manifest: EnsembleManifest
) -> None:
    x = MOONS.tolist()
    each = np.stack([ask(mixtures, "/log_prob", model=m, x=x)["log_prob"] for m in MEMBERS], 1)
    assert len({*np.round(manifest.weights, 6)}) == 2, "weights that are equal would tell nothing"
    expected = logsumexp(each, axis=1, b=manifest.weights)
    found = ask(mixtures, "/log_prob", model=MIXTURE, x=x, members=True)
    np.testing.assert_allclose(found["log_prob"], expected, atol=bound(manifest))
    np.testing.assert_allclose(found["member_log_prob"], each, atol=bound(manifest))
    spread: dict[str, Callable[..., Any]] = {
        "member_std": np.std,
        "member_min": np.min,
        "member_max": np.max,
    }
    for name, of in spread.items():
        np.testing.assert_allclose(found[name], of(found["member_log_prob"], axis=1), atol=1e-5)
    plain = ask(mixtures, "/log_prob", model=MIXTURE, x=x)
    assert plain.keys() == {"model", "version", "log_prob"}
    np.testing.assert_array_equal(plain["log_prob"], found["log_prob"])


def test_what_members_say_is_picked_in_any_format_and_asked_for(mixtures: TestClient) -> None:
    x = MOONS[:5]
    body = {"model": MIXTURE, "x": x.tolist()}
    expected = ask(mixtures, "/log_prob", **body, members=True)["member_std"]
    picked = mixtures.post("/log_prob?output=member_std", json=body | {"members": True}).json()
    assert picked.keys() == {"model", "version", "member_std"}
    found, _ = ask_npy(mixtures, "/log_prob", x, model=MIXTURE, members="true", output="member_std")
    for each in (picked["member_std"], found):
        np.testing.assert_allclose(each, expected, rtol=1e-6)
    for path, output, field in (
        ("/log_prob", "member_std", "members"),
        ("/log_prob", "quantile", "quantile"),
        ("/encode", "residual", "check"),
    ):
        refused = mixtures.post(f"{path}?output={output}", json=body)
        assert_problem(refused, 422, f"output: {output} is answered where {field} is true: say")
    refused = mixtures.post("/log_prob?output=member_std", json=body | {"model": MEMBERS[0]})
    assert_problem(refused, 422, "there is no 'member_std', only log_prob")


def test_the_mixture_integrates_to_one(mixtures: TestClient) -> None:
    side = np.linspace(-6, 7, 200)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    log_prob, _ = ask_npy(mixtures, "/log_prob", grid, model=MIXTURE)
    assert np.exp(log_prob.astype(np.float64)).sum() * (side[1] - side[0]) ** 2 == pytest.approx(
        1, abs=1e-3
    )


def test_samples_follow_from_their_seed_in_any_batch(
    mixtures: TestClient, manifest: EnsembleManifest
) -> None:
    asked = {"model": MIXTURE, "seed": 11}
    many = ask(mixtures, "/sample", n=700, **asked)
    few = ask(mixtures, "/sample", n=9, **asked)
    span = np.ptp(many["x"], axis=0).max()
    np.testing.assert_array_equal(few["member"], many["member"][:9])
    np.testing.assert_allclose(few["x"], many["x"][:9], atol=1e-5 * span)
    found = ask(mixtures, "/log_prob", model=MIXTURE, x=many["x"].tolist())["log_prob"]
    np.testing.assert_allclose(many["log_prob"], found, atol=bound(manifest))
    other = ask(mixtures, "/sample", n=700, model=MIXTURE, seed=12)
    assert (other["member"] != many["member"]).any()
    # a row of a member is what the member's own bundle draws for it
    for k, name in enumerate(MEMBERS):
        own = ask(mixtures, "/sample", n=700, model=name, seed=11)["x"]
        its = many["member"] == k
        assert its.any()
        np.testing.assert_allclose(many["x"][its], own[its], atol=1e-4 * span)


def test_members_are_drawn_by_their_weights(manifest: EnsembleManifest) -> None:
    n, weight = 20_000, manifest.weights[0]
    drawn = np.concatenate(
        [draws.draw(n // 4)[1] for draws in [MemberLatents(manifest, 5, 1.0)] for _ in range(4)]
    )
    low, high = binom.interval(0.9999, n, weight)
    assert low <= (drawn == 0).sum() <= high
    whole = MemberLatents(manifest, 5, 1.0).draw(n)[1]
    np.testing.assert_array_equal(drawn, whole)
    sure = manifest.members[0].model_copy(update={"weight": 0.0})
    one = manifest.members[1].model_copy(update={"weight": 1.0})
    alone = manifest.model_copy(update={"members": [sure, one]})
    assert (MemberLatents(alone, 5, 1.0).draw(n)[1] == 1).all()


def test_a_latent_is_decoded_by_the_member_that_it_is_of(mixtures: TestClient) -> None:
    x = MOONS[:40]
    encoded = ask(mixtures, "/encode", model=MIXTURE, x=x.tolist(), check=True)
    assert {*encoded["member"]} == {0, 1}
    assert encoded["residual"].max() < 1e-4
    z, member = encoded["z"].tolist(), encoded["member"].astype(int).tolist()
    back = ask(mixtures, "/decode", model=MIXTURE, z=z, member=member, check=True)
    np.testing.assert_allclose(back["x"], x, atol=1e-4)
    np.testing.assert_allclose(back["log_prob"], encoded["log_prob"], atol=1e-3)
    assert back["residual"].max() < 1e-3
    for k, name in enumerate(MEMBERS):
        own = ask(mixtures, "/encode", model=name, x=x.tolist())["z"]
        found = ask(mixtures, "/encode", model=MIXTURE, x=x.tolist(), member=k)
        np.testing.assert_allclose(found["z"], own, atol=1e-3)
        assert (found["member"] == k).all()
        its = encoded["member"] == k
        np.testing.assert_allclose(found["z"][its], encoded["z"][its], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "/encode answers it"),
        ({"member": 2}, "expected 0 to 1, got 2"),
        ({"member": [0, -1]}, "expected 0 to 1, got -1 in row 1"),
        ({"member": [0]}, "1 came for 2 rows"),
        ({"member": 0.5}, "member"),
        ({"member": True}, "member"),
        ({"member": "first"}, "member"),
        ({"member": [[0], [1]]}, "member"),
    ],
)
def test_latents_of_no_member_are_refused(
    mixtures: TestClient, fields: dict[str, Any], words: str
) -> None:
    body = {"model": MIXTURE, "z": [[0, 0], [1, 1]], **fields}
    assert_problem(mixtures.post("/decode", json=body), 422, words)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), ([0, 1], [0, 1]), ("1", 1), ("0,1", [0, 1]), (np.array([1.0, 0.0]), [1, 0])],
)
def test_members_are_numbers_in_any_form(value: Any, expected: Any) -> None:
    found = to_members(value)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.ravel(), np.ravel(expected))


def test_what_others_have_is_refused_readably(mixtures: TestClient) -> None:
    answer = mixtures.post("/layers", json={"model": MIXTURE, "z": [[0, 0]]})
    assert_problem(answer, 422, "is an ensemble, which has no /layers: it answers /log_prob")
    answer = mixtures.post("/log_prob", json={"model": "moons-maf", "x": [[0, 0]], "members": True})
    assert_problem(answer, 422, "members")
    body = {"model": BOX, "x": [DIGITS[0].tolist()], "members": True, "dequantize": 2}
    assert_problem(mixtures.post("/log_prob", json=body), 422, "without dequantize")


def test_a_path_goes_through_one_member(mixtures: TestClient) -> None:
    ends = {"start": [-1.0, 0.1], "end": [1.9, 0.2]}
    for chosen in (None, 0, 1):
        asked = {} if chosen is None else {"member": chosen}
        path = ask(mixtures, "/interpolate", model=MIXTURE, steps=5, **ends, **asked)
        (member,) = {*path["member"].astype(int)}
        assert chosen in (None, member)
        np.testing.assert_allclose(path["x"][[0, -1]], [*ends.values()], atol=1e-4)
        z, numbers = path["z"].tolist(), [int(member)] * 5
        decoded = ask(mixtures, "/decode", model=MIXTURE, z=z, member=numbers)
        np.testing.assert_allclose(decoded["x"], path["x"], atol=1e-5)
    body = {"model": MIXTURE, **ends, "member": 2}
    assert_problem(mixtures.post("/interpolate", json=body), 422, "expected 0 to 1")


def test_outputs_of_members_go_in_every_format(mixtures: TestClient) -> None:
    x = MOONS[:6]
    expected = ask(mixtures, "/log_prob", model=MIXTURE, x=x.tolist(), members=True)
    for name in ("member_log_prob", "member_std"):
        query = {"model": MIXTURE, "members": "true", "output": name}
        found, _ = ask_npy(mixtures, "/log_prob", x, **query)
        np.testing.assert_allclose(found, expected[name], rtol=1e-5)
    body = {"model": MIXTURE, "x": x.tolist(), "members": True}
    csv = mixtures.post("/log_prob", json=body, headers={"accept": "text/csv"}).text
    assert csv.splitlines()[0] == (
        "log_prob,member_log_prob.0,member_log_prob.1,member_std,member_min,member_max"
    )
    arrow = pytest.importorskip("pyarrow.ipc")
    answer = mixtures.post("/log_prob", json=body, headers={"accept": ARROW})
    columns = arrow.open_stream(io.BytesIO(answer.content)).read_all().to_pydict()
    np.testing.assert_allclose(columns["member_log_prob"], expected["member_log_prob"], rtol=1e-5)
    query = {"model": MIXTURE, "n": "7", "seed": "1", "output": "member"}
    member, _ = ask_npy(mixtures, "/sample", None, **query)
    assert member.dtype == np.int64
    z, _ = ask_npy(mixtures, "/encode", x, model=MIXTURE, member="0,1,0,1,0,1")
    back, _ = ask_npy(mixtures, "/decode", z, model=MIXTURE, member="0,1,0,1,0,1")
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_partial_answers_name_the_rows_without_one(mixtures: TestClient) -> None:
    rows = DIGITS[:3].copy()
    rows[1, 5] = 99  # outside the support
    body = {"model": BOX, "x": rows.tolist(), "partial": True}
    answer = mixtures.post("/encode", json=body).json()
    assert [error["row"] for error in answer["errors"]] == [1]
    assert answer["member"][1] == -1
    assert {answer["member"][0], answer["member"][2]} <= {0, 1}


def test_a_box_and_whole_numbers_are_those_of_a_flow(mixtures: TestClient) -> None:
    rows = DIGITS[:8].copy()
    rows[2, 0] = -3
    found = ask(mixtures, "/log_prob", model=BOX, x=rows.tolist(), members=True)
    assert found["outside_support"].tolist() == [2]
    assert np.isnan(found["log_prob"][2])  # null, which is −∞
    assert np.isnan(found["member_log_prob"][2]).all()
    assert found["member_std"][2] == 0
    bits = -found["log_prob"] / (64 * np.log(2))
    np.testing.assert_allclose(found["bits_per_dim"], bits, rtol=1e-5)
    noisy = ask(mixtures, "/log_prob", model=BOX, x=rows[:2].tolist(), dequantize=3, seed=1)
    assert np.isfinite(noisy["log_prob"]).all()
    drawn = ask(mixtures, "/sample", model=BOX, n=200, seed=2, quantize=True)
    assert {*np.unique(drawn["x"])} <= {*range(17)}
    assert np.isfinite(drawn["log_prob"]).all()


def test_a_context_goes_to_every_member(mixtures: TestClient) -> None:
    context = [[0.5, "upper"]]
    drawn = ask(mixtures, "/sample", model=CONTEXT, n=50, seed=3, context=context)
    found = ask(
        mixtures, "/log_prob", model=CONTEXT, x=drawn["x"].tolist(), context=context, members=True
    )
    np.testing.assert_allclose(drawn["log_prob"], found["log_prob"], atol=2e-4)
    expected = logsumexp(found["member_log_prob"], axis=1, b=[0.75, 0.25])
    np.testing.assert_allclose(found["log_prob"], expected, atol=1e-4)
    other = ask(mixtures, "/log_prob", model=CONTEXT, x=drawn["x"].tolist(), context=[[0, "lower"]])
    assert np.abs(other["log_prob"] - found["log_prob"]).max() > 0.1


def test_quantiles_are_those_of_the_mixture(
    mixtures: TestClient, manifest: EnsembleManifest
) -> None:
    found = ask(mixtures, "/log_prob", model=MIXTURE, x=MOONS.tolist(), quantile=True)
    assert found["quantile"].mean() == pytest.approx(0.5, abs=0.1)
    assert manifest.calibration.rows == manifest.held_out.rows


def test_requests_at_once_do_not_mix(ensembles: Path, mixtures: TestClient) -> None:
    """Rows of several requests in one batch come back to those who asked."""
    alone = {seed: ask(mixtures, "/sample", model=MIXTURE, n=5, seed=seed) for seed in range(12)}

    async def together() -> list[dict[str, Any]]:
        transport = httpx.ASGITransport(app=mixtures.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                client.post("/sample", json={"model": MIXTURE, "n": 5, "seed": seed})
                for seed in alone
            ]
            return [answer.json() for answer in await asyncio.gather(*asked)]

    for seed, answer in zip(alone, mixtures.portal.call(together), strict=True):  # type: ignore[union-attr]
        assert answer["member"] == alone[seed]["member"].tolist()
        np.testing.assert_allclose(answer["x"], alone[seed]["x"], atol=1e-4)


def test_models_are_described(mixtures: TestClient) -> None:
    said = mixtures.get(f"/models/{MIXTURE}").json()
    assert said["kind"] == said["family"] == "ensemble"
    assert [member["run"] for member in said["members"]] == MEMBERS
    assert said["columns"] == ["x", "y"]
    listed = {model["name"]: model for model in mixtures.get("/models").json()["models"]}
    assert listed[MIXTURE]["kind"] == "ensemble"
