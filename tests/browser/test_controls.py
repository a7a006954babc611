"""Every control of every panel does what it is for, on models of every kind."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Models
from tests.helpers.servers import Serve
from tests.helpers.visits import Visit, server

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle

KINDS = ("points", "images", "table", "detector", "conditional", "sounds")

CONTROLS = (
    "input:not([type=file]):enabled, select:enabled, textarea, button:enabled, summary, "
    "canvas.movable, [role=application], [role=slider]"
)

# Of many alike, such as the choices of a row, so many are used.
MOST_ALIKE = 3

ALIKE = """
(each) => {
  const { name, id, className, type, parentElement } = each;
  return [each.closest("section").id, name || id || className, type, parentElement.tagName].join();
}
"""

VALUES = """
() => {
  const value = (each) => (each.type === "radio" ? each.checked : each.value);
  const all = document.querySelectorAll("#panels input:not([type=file]), #panels select");
  const named = [...all].map((each) => [each.labels?.[0]?.textContent, value(each)]);
  return named.filter(([name]) => name !== "Brightness"); // of a brush, no part of a view
}
"""


def use(visit: Visit, control: "ElementHandle") -> None:
    """Do what a control is for."""
    page = visit.page
    kind = control.evaluate("(each) => each.type || each.tagName.toLowerCase()")
    control.scroll_into_view_if_needed()
    match kind:
        case "select-one":
            options = control.query_selector_all("option")
            for index in reversed(range(min(len(options), MOST_ALIKE))):
                control.select_option(index=index)
                visit.idle()
        case "range":
            for key in ("End", "Home", "ArrowRight", "ArrowRight"):
                control.press(key)
                visit.idle()
        case "number":
            value = control.input_value()
            control.fill(value[:-1] + "1" if value else "1")
            control.press("Tab")
        case "text" | "textarea":  # times and the like, of which others may be refused
            control.fill(control.input_value())
            control.press("Tab")
        case "canvas":
            box = control.bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 20, y + 10, steps=4)
            page.mouse.up()
            for key in ("ArrowLeft", "Shift+ArrowUp", " "):
                control.press(key)
        case "div":  # a chart
            for key in ("Home", "ArrowRight", "End"):
                control.press(key)
        case _:
            control.click()
    visit.idle()


def controls(visit: Visit) -> list["ElementHandle"]:
    return visit.page.locator("#panels").locator(CONTROLS).element_handles()


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_can_be_used(
    open_tab: Callable[..., Visit], address: str, models: Models, kind: str
) -> None:
    tab = open_tab(address, permissions=["clipboard-read", "clipboard-write"])
    tab.open(getattr(models, kind))
    assert tab.problems == []
    alike: dict[str, int] = {}
    for control in controls(tab):
        if not control.is_visible():
            continue
        name = control.evaluate(ALIKE)
        alike[name] = alike.get(name, 0) + 1
        if alike[name] > MOST_ALIKE:
            continue
        use(tab, control)
        assert tab.problems == [], name
    assert len(alike) > 5
    line = tab.page.locator("#samples .request code, .request code").first.inner_text()
    assert line.startswith("curl -s ")
    before = tab.page.evaluate(VALUES)
    tab.reload()
    assert tab.page.evaluate(VALUES) == before, "the address does not say all that was chosen"


def test_who_takes_the_slider_of_layers_ends_the_play(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    if not tab.page.locator("#layers").count():
        pytest.skip(f"{models.points} has no layers: `make store` makes models that have")
    tab.page.click("#layers button:text('Play')")
    tab.page.locator("#layers input[type=range]").fill("1")
    tab.page.wait_for_timeout(100)
    tab.idle()
    assert tab.page.locator("#layers input[type=range]").input_value() == "1"
    tab.page.click("#layers button:text('Play')")
    tab.page.click("#layers button:text('Stop')")
    tab.idle()
    assert float(tab.page.locator("#layers input[type=range]").input_value()) < 2


def test_another_model_can_be_chosen_and_a_link_leads_to_it(
    open_tab: Callable[..., Visit], address: str, models: Models
) -> None:
    tab = open_tab(address, permissions=["clipboard-read", "clipboard-write"])
    tab.open()
    for name in (models.table, models.images, models.detector, models.points):
        tab.page.select_option("#model", name)
        tab.page.wait_for_function(f"() => document.title.startsWith({name!r})")
        tab.idle()
        assert tab.problems == []
    tab.page.click("#copy-link")
    link = tab.page.evaluate("navigator.clipboard.readText()")
    other = open_tab(address)
    other.page.goto(link)
    other.page.wait_for_selector("#panels section")
    assert other.page.input_value("#model") == models.points


def test_models_are_shown_as_they_come(
    open_tab: Callable[..., Visit], folder: Path, serve: Serve, models: Models, tmp_path: Path
) -> None:
    (store := tmp_path / "store").mkdir()

    def add(name: str) -> None:
        shutil.copytree(folder / name, tmp_path / name)
        (tmp_path / name).rename(store / name)

    add(models.points)
    served = serve("--store", store, "--poll-seconds", "0.2")
    tab = open_tab(str(served.client.base_url).rstrip("/"))
    # as of a server whose store is empty
    empty = {"ready": False, "reason": "the store is empty"}
    tab.page.route("**/ready", lambda route: route.fulfill(status=503, json=empty), times=1)
    tab.page.goto(tab.base)
    tab.page.wait_for_selector("#problem:visible")
    assert "the store is empty. This page looks again" in tab.problems[0]
    tab.page.wait_for_selector("#panels section")
    tab.idle()
    assert tab.problems == []
    add("detector")
    while "detector" not in server.get(f"{tab.base}/models").text:
        tab.page.wait_for_timeout(50)
    tab.page.hover("#model")
    tab.page.wait_for_selector("#model option[value=detector]", state="attached")
    assert tab.page.input_value("#model") == models.points
    tab.page.select_option("#model", "detector")
    tab.page.wait_for_function("() => document.title.startsWith('detector')")
    tab.idle()
    tab.page.goto("about:blank")
    served.end()
    tab.errors[:] = [each for each in tab.errors if "503" not in each]


def test_a_painted_image_is_behind_its_link(tab: Visit, models: Models) -> None:
    tab.open(models.images)
    tab.page.focus("#point .easel")
    for key in ("Space", "ArrowLeft", "Space"):
        tab.page.keyboard.press(key)
    tab.idle()
    tab.page.wait_for_function("() => location.hash.includes('point.row=')")
    said = tab.page.inner_text("#point dl")
    tab.reload()
    assert tab.page.inner_text("#point dl") == said


def test_a_value_outside_the_data_is_marked(tab: Visit, models: Models) -> None:
    tab.open(models.table)
    fields = tab.page.locator("#point .field:has([inputmode=decimal])")
    field = fields.filter(has_text="data:").first
    assert field.locator(".outside").count() == 0
    field.locator("input").fill("1e9")
    assert field.locator(".outside").inner_text().startswith("outside the data: ")


def test_the_server_is_watched_and_its_charts_are_read_by_keys(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    tab.page.locator("#live").scroll_into_view_if_needed()
    charts = tab.page.locator("#live .chart")
    tab.page.wait_for_function(
        "() => document.querySelector('#live .chart').ariaLabel.includes('answered')"
    )
    values = [
        "answered N a second, of these refused N a second",
        "answered N a second",
        "half within N( ms)?, 99 % within N( ms)?",
        "in the queue N rows",
    ]
    for i, value in enumerate(values):
        charts.nth(i).press("End")
        said = charts.nth(i).get_attribute("aria-valuetext") or ""
        assert re.fullmatch(r"\d+ s ago: " + value.replace("N", r"\S+"), said)
    # all charts point at the same second
    (ago,) = {*tab.page.locator("#live figcaption .hint").all_inner_texts()}
    assert re.fullmatch(r"\d+ s ago", ago)


def test_a_curl_line_asks_the_same(tab: Visit, address: str, models: Models) -> None:
    tab.open(models.points)
    tab.page.locator("#point .request summary").click()
    tab.page.locator("#point canvas.plane").press("ArrowLeft")  # the map was asked for by bytes
    tab.idle()
    lines = tab.page.locator("#point .request code").inner_text().splitlines()
    assert [re.findall(rf"'{address}/(\w+)'", line) for line in lines] == [["log_prob"], ["encode"]]
    for line in lines:
        answered = server.post(line.split("'")[1], content=line.split(" -d ", 1)[1].strip("'"))
        assert answered.status_code == 200, line
