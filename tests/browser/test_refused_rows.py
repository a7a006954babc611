"""A row that is refused: the field to blame says so, and what is not of the row stays as it is."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.browser.test_point import REFUSAL, field, is_stale
from tests.helpers.visits import Visit, server

if TYPE_CHECKING:
    from playwright.sync_api import Route

TOO_FAR = "Too far from the data: the model has no finite answer."

# Whether the map is shown in grey, by a filter of its own or of what is around it.
IS_GREY = """
() => {
  let each = document.querySelector("#point canvas.plane");
  for (; each; each = each.parentElement) if (getComputedStyle(each).filter !== "none") return true;
  return false;
}
"""

# How many pixels of the map have a colour of the page.
PIXELS_OF = """
(name) => {
  const canvas = document.querySelector("#point canvas.plane");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colour = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const pixels = Array.from({ length: data.length / 4 }, (_, i) => 4 * i);
  return pixels.filter((i) => wanted.every((value, k) => data[i + k] === value)).length;
}
"""


def invalid(tab: Visit) -> list[str]:
    """The labels of the fields of the row that refuse."""
    found: list[str] = tab.page.locator("#point [aria-invalid=true]").evaluate_all(
        "(all) => all.map((each) => each.labels[0].textContent)"
    )
    return found


def test_fields_to_blame_for_a_row_too_far_away_say_so(tab: Visit, models: Models) -> None:
    tab.open(models.normal)
    x0, x1 = field(tab, "x0"), field(tab, "x1")
    usual = [each.input_value() for each in (x0, x1)]
    said = tab.page.inner_text("#point dl")
    for name, value, blamed in (
        ("x0", "1e30", ["x0"]),
        ("x1", "-1e30", ["x0", "x1"]),
        ("x0", usual[0], ["x1"]),
    ):
        field(tab, name).fill(value)
        tab.idle()
        assert invalid(tab) == blamed
        assert tab.page.locator(REFUSAL).all_inner_texts() == [TOO_FAR] * len(blamed)
        assert is_stale(tab)
        assert tab.page.inner_text("#point dl") == said
        assert tab.problems == []
    x1.fill(usual[1])
    tab.idle()
    assert invalid(tab) == []
    assert not is_stale(tab)
    assert tab.page.inner_text("#point dl") == said


def test_a_row_of_numbers_too_far_away_blames_the_number(tab: Visit, models: Models) -> None:
    tab.open(models.numbers)
    field(tab, "x1").fill("1e30")
    tab.idle()
    assert invalid(tab) == ["x1"]
    assert tab.page.inner_text(REFUSAL) == TOO_FAR
    tab.open(models.sounds)
    area = tab.page.locator("#point textarea")
    area.fill(", ".join(["3e38", *area.input_value().split(", ")[1:]]))
    tab.idle()
    assert tab.page.inner_text(REFUSAL) == TOO_FAR


def test_a_number_beyond_float32_is_not_asked_for(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    names = server.get(f"{tab.base}/models/{models.points}").json().get("columns") or ["x0", "x1"]
    field(tab, names[1]).fill("-1e39")
    tab.idle()
    assert invalid(tab) == [names[1]]
    assert not any("log_prob" in url for url in asked)
    # nor by a link
    tab.open(models.points, **{"point.x": "0,1e39", "path.a": "1e39,0"})
    assert tab.problems == []
    assert tab.page.locator("#point dd").count() > 0


def busy(route: "Route") -> None:
    route.fulfill(status=503, json={"status": 503, "detail": "no room"})


@pytest.mark.parametrize("refusal", ["by the page", "by the server", "of no field"])
def test_what_is_not_of_the_row_that_is_refused_is_not_grey(
    tab: Visit, models: Models, refusal: str
) -> None:
    tab.open(models.normal)
    assert tab.page.evaluate(PIXELS_OF, "--mark") > 50
    if refusal == "of no field":
        tab.page.route("**/log_prob", busy)
    field(tab, "x0").fill({"by the page": "abc", "by the server": "1e30"}.get(refusal, "0"))
    tab.idle()
    assert not tab.page.evaluate(IS_GREY)
    if refusal == "of no field":
        assert tab.problems
        assert tab.page.locator("#point dd").count() == 0
        tab.errors[:] = [each for each in tab.errors if "503" not in each]
        return
    assert is_stale(tab)
    # the point is of the row
    assert tab.page.evaluate(PIXELS_OF, "--mark") == 0
    assert tab.page.evaluate(PIXELS_OF, "--soft") > 50
    field(tab, "x0").fill("0")
    tab.idle()
    assert tab.page.evaluate(PIXELS_OF, "--mark") > 50


def test_samples_are_grey_and_their_form_is_not_while_the_server_refuses(
    tab: Visit, models: Models
) -> None:
    tab.open(models.images)
    opacity = "() => Number(getComputedStyle(document.querySelector('#samples canvas')).opacity)"
    colour = "() => getComputedStyle(document.querySelector('#samples label')).color"
    usual = tab.page.evaluate(colour)
    tab.page.route("**/sample", busy)
    tab.page.click("#samples button:text('Draw new samples')")
    tab.page.wait_for_selector("#samples .problem:visible")
    assert tab.page.evaluate(opacity) < 0.6
    assert tab.page.evaluate(colour) == usual
    tab.page.unroute("**/sample")
    tab.page.click("#samples button:text('Draw new samples')")
    tab.idle()
    assert tab.page.evaluate(opacity) == 1
    tab.errors[:] = [each for each in tab.errors if "503" not in each]


def test_a_path_that_is_refused_is_not_drawn(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    accent = PIXELS_OF.replace("#point", "#path")
    assert tab.page.evaluate(accent, "--accent") > 50
    tab.page.route("**/interpolate", busy)
    tab.page.locator("#path canvas").press("ArrowLeft")
    tab.page.wait_for_selector("#path .problem:visible")
    assert tab.page.evaluate(accent, "--accent") == 0
    tab.page.unroute("**/interpolate")
    tab.page.locator("#path canvas").press("ArrowLeft")
    tab.idle()
    assert tab.page.evaluate(accent, "--accent") > 50
    tab.errors[:] = [each for each in tab.errors if "503" not in each]


def test_values_that_are_scored_alike_are_said_to_be(tab: Visit, models: Models) -> None:
    tab.open(models.table)
    columns = server.get(f"{tab.base}/models/{models.table}").json()["columns"]
    numbers = [each for each in columns if each["kind"] in ("numeric", "lattice")]
    column = next(each for each in numbers if not each.get("closed") and not each["missing"])
    entry = field(tab, column["name"])
    hint = entry.locator("xpath=..").locator(".hint")
    scores = []
    for value, is_alike in (("1e25", False), ("1e35", True), ("1e39", True)):
        entry.fill(value)
        tab.idle()
        assert ("all values are scored alike" in hint.inner_text()) == is_alike
        scores.append(tab.page.locator("#point dd").first.inner_text())
    assert scores[0] != scores[1] == scores[2]


def test_a_temperature_is_offered_that_the_base_allows(
    open_tab: Callable[..., Visit], address: str, models: Models
) -> None:
    for model in (models.box, models.normal):
        tab = open_tab(address)
        tab.open(model, **{"samples.temperature": 1.5})
        slider = tab.page.locator("#samples input[type=range]")
        slider.press("End")
        tab.idle()
        assert tab.problems == []
        body: dict[str, Any] = {"model": model, "n": 1, "seed": 0}
        most = float(slider.input_value())
        asked = [body | {"temperature": each} for each in (most, most + 0.05)]
        answers = [server.post(f"{address}/sample", json=each).status_code for each in asked]
        assert answers[0] == 200
        assert answers[1] == 422 or most == 2


def test_a_path_is_drawn_without_corners(tab: Visit, models: Models, address: str) -> None:
    with tab.page.expect_request("**/interpolate") as request:
        tab.open(models.points)
    asked: dict[str, Any] = json.loads(request.value.post_data or "")
    between = 8
    finer = asked | {"model": models.points, "steps": between * (asked["steps"] - 1) + 1}
    path = np.array(server.post(f"{address}/interpolate", json=finer).json()["x"])
    path /= np.ptp(path, axis=0).max()
    starts, ends = path[:-1:between], path[between::between]
    along = ends - starts
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    pieces = path[:-1].reshape(len(starts), between, 2) - starts[:, None]
    # of the width of what is drawn: 1,536 chords of the demo's model are off by 0.001, 512 by 0.004
    assert np.abs(np.einsum("nij,nj->ni", pieces, normals)).max() < 0.002
