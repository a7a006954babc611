"""A row of one's own: what is refused is said at its field, and no score of another row stands."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from service.operations.checked_runs import too_far
from tests.browser.conftest import Models
from tests.helpers.visits import Visit, server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Route

REFUSAL = "#point .refusal"

# Where a map shows its point: the middle of the pixels of its colour, as shares of the sides.
MARKER = """
() => {
  const canvas = document.querySelector("#point canvas.plane");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--mark").trim();
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  let [count, x, y] = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) {
    if (!wanted.every((value, k) => data[i + k] === value)) continue;
    count += 1;
    x += ((i / 4) % canvas.width) / canvas.width;
    y += Math.floor(i / 4 / canvas.width) / canvas.height;
  }
  return [count, x / count, y / count];
}
"""


def lattice(tab: Visit, model: str) -> dict[str, Any]:
    """A column of numbers on a lattice finer than whole numbers."""
    columns = server.get(f"{tab.base}/models/{model}").json()["columns"]
    found: dict[str, Any] = next(
        each
        for each in columns
        if each["kind"] == "lattice" and each["step"] < 1 and not each["missing"]
    )
    return found


def taken_by(column: dict[str, Any]) -> str:
    """What such a column takes, as the page says it."""
    ends = f" from {column['low']:g} to {column['high']:g}" * column["closed"]
    return f"{column['name']} takes a number in steps of {column['step']:g}{ends}"


def field(tab: Visit, name: str) -> "Locator":
    return tab.page.locator("#point").get_by_label(name, exact=True)


def is_stale(tab: Visit) -> bool:
    stale: bool = tab.page.locator("#point dl").evaluate(
        "(each) => each.classList.contains('stale')"
    )
    return stale


@pytest.mark.parametrize("kind", ["table", "detector"])
def test_a_refused_entry_says_what_its_column_takes(tab: Visit, models: Models, kind: str) -> None:
    model = getattr(models, kind)
    tab.open(model)
    column = lattice(tab, model)
    entry = field(tab, column["name"])
    usual = entry.input_value()
    taken = taken_by(column)
    refused = {"abc": "“abc” is none.", "": "here is nothing.", "1,5": "“1,5” is none."}
    for text, why in refused.items():
        entry.fill(text)
        tab.idle()
        assert tab.page.inner_text(REFUSAL) == f"{taken}; {why}"
        assert entry.get_attribute("aria-invalid") == "true"
        assert is_stale(tab)
        assert tab.problems == []
    entry.fill(usual)
    tab.idle()
    assert tab.page.locator(REFUSAL).count() == 0
    assert not is_stale(tab)


def test_what_the_server_refuses_is_said_at_its_field_without_a_number_of_a_row(
    tab: Visit, models: Models
) -> None:
    tab.open(models.table)
    column = lattice(tab, models.table)
    entry = field(tab, column["name"])
    said = tab.page.inner_text("#point dl")
    off = f"{column['low'] + column['step'] / 3:.6f}"
    entry.fill(off)
    tab.page.wait_for_selector(REFUSAL)
    assert tab.page.inner_text(REFUSAL) == f"{taken_by(column)}; “{off}” is none."
    assert tab.problems == []
    assert is_stale(tab)
    assert tab.page.inner_text("#point dl") == said
    # a minus sign of print, as texts have it, is one here
    entry.fill("−" + entry.input_value()[:1])
    tab.page.wait_for_selector(REFUSAL, state="detached")
    tab.idle()
    assert not is_stale(tab)


def test_no_score_of_another_row_stands_beside_an_error(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    assert tab.page.locator("#point dd").count() > 0
    busy = {"status": 503, "detail": "no room"}
    tab.page.route("**/log_prob", lambda route: route.fulfill(status=503, json=busy))
    tab.page.locator("#point canvas.plane").press("ArrowLeft")
    tab.page.wait_for_selector("#point .problem:visible")
    assert tab.page.locator("#point dd").count() == 0
    tab.page.unroute("**/log_prob")
    tab.page.locator("#point canvas.plane").press("ArrowLeft")
    tab.page.wait_for_selector("#point dd")
    assert tab.problems == []
    tab.errors[:] = [each for each in tab.errors if "503" not in each]


def test_numbers_as_text_are_refused_one_by_one(tab: Visit, models: Models) -> None:
    tab.open(models.sounds)
    area = tab.page.locator("#point textarea")
    numbers = area.input_value().split(", ")
    area.fill(", ".join([numbers[0], "loud", *numbers[2:]]))
    assert tab.page.inner_text(REFUSAL) == "Number 2 of the row: “loud” is none."
    area.fill(", ".join(numbers[1:]))
    count = len(numbers)
    expected = f"A row of this model is {count} numbers; here are {count - 1}."
    assert tab.page.inner_text(REFUSAL) == expected
    assert is_stale(tab)
    area.fill(", ".join(numbers))
    tab.idle()
    assert not is_stale(tab)
    assert tab.problems == []


@pytest.mark.parametrize(
    ("sides", "far", "share"),
    [("to the right", (100, 0), (1, None)), ("to the left and above", (-100, 100), (0, 0))],
)
def test_a_point_outside_the_map_is_pointed_at(
    tab: Visit,
    models: Models,
    sides: str,
    far: tuple[float, float],
    share: tuple[float | None, float | None],
) -> None:
    tab.open(models.points)
    inside = tab.page.evaluate(MARKER)
    assert inside[0] > 50
    names = server.get(f"{tab.base}/models/{models.points}").json().get("columns") or ["x0", "x1"]
    fields = [field(tab, name) for name in names]
    usual = [each.input_value() for each in fields]
    for each, value in zip(fields, far, strict=True):
        each.fill(str(value))
    tab.idle()
    assert f"outside the map ({sides})" in tab.page.inner_text("#point")
    count, *place = tab.page.evaluate(MARKER)
    assert count > 50
    for at, edge in zip(place, share, strict=True):
        assert edge is None or abs(at - edge) < 0.15
    for each, text in zip(fields, usual, strict=True):
        each.fill(text)
    tab.idle()
    assert "outside the map" not in tab.page.inner_text("#point")
    assert tab.page.evaluate(MARKER) == inside


def test_the_place_of_a_row_among_others_is_said_plainly(tab: Visit, models: Models) -> None:
    held_out = r"less likely than (all|about [\d.]+ % of the) [\d,]+ held-out rows"
    tab.open(models.points)
    assert re.search(held_out, tab.page.inner_text("#point dl"))
    manifest = server.get(f"{tab.base}/models/{models.points}").json()
    rows = manifest["calibration"]["rows"]
    x = [100.0, -100.0]
    asked = {"model": models.points, "x": [x], "quantile": True}
    answer = server.post(f"{tab.base}/log_prob", json=asked).json()
    assert answer["quantile"] == [0]
    tab.open(models.points, **{"point.x": ",".join(map(str, x))})
    assert f"less likely than all {rows:,} held-out rows" in tab.page.inner_text("#point dl")
    tab.open(models.detector)
    normal = r"p-value\s+[\d.]+: (more anomalous than all|[\d.]+ % of the) [\d,]+ calibration rows"
    assert re.search(normal, tab.page.inner_text("#point dl"))


def far_away(route: "Route") -> None:
    """Answer as a server does of a row that lies too far away."""
    error = {"row": 0, "reason": "non-finite-output", "detail": too_far(0, 0).detail}
    route.fulfill(json={"log_prob": [None], "errors": [error]})


def test_what_the_server_says_of_one_row_has_no_number_of_it(tab: Visit, models: Models) -> None:
    tab.page.route("**/log_prob", far_away)
    tab.open(models.points)
    (problem,) = tab.problems
    assert "this row has no finite answer" in problem
    assert tab.page.locator("#point dd").count() == 0


def test_the_map_leaves_the_error_of_the_point_where_it_is(tab: Visit, models: Models) -> None:
    held: list[Any] = []
    is_over = False

    def hold(route: "Route") -> None:
        """Refuse the point, and hold the map back."""
        if route.request.headers["content-type"] == "application/json":
            far_away(route)
        elif is_over:
            route.continue_()
        else:
            held.append(route)

    tab.page.route("**/log_prob*", hold)
    tab.page.goto(f"{tab.base}/#model={models.points}")
    tab.page.wait_for_selector("#point .problem:visible")
    is_over = True
    for route in held:
        route.continue_()
    tab.page.wait_for_selector("#point .legend canvas")
    tab.idle()
    assert len(tab.problems) == 1
