"""Rows are chosen among the samples that are drawn, by the same numbers, by pointer and by keys."""

from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.helpers.visits import Visit, server

# Pixels of an image.
PIXELS = """
(selector) => {
  const { width, height } = document.querySelector(selector);
  const pen = document.querySelector(selector).getContext("2d");
  return [...pen.getImageData(0, 0, width, height).data];
}
"""

# Pixels of the images of a list, as text.
PICTURES = """
(selector) => [...document.querySelectorAll(selector)].map((each) => each.toDataURL())
"""

# A place of a drawing of points at which there is one.
POINT = """
(selector) => {
  const canvas = document.querySelector(selector);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
  const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const isPoint = (i) => wanted.every((value, k) => Math.abs(data[4 * i + k] - value) < 40);
  const places = Array.from({ length: width * height }, (_, i) => i).filter(isPoint);
  const place = places[places.length >> 1];
  const box = canvas.getBoundingClientRect();
  const scale = box.width / width;
  return [scale * (place % width), scale * Math.floor(place / width)];
}
"""


def use(tab: Visit, key: str) -> None:
    """Choose what a click on a sample does."""
    tab.page.locator("#samples").get_by_label("Click a sample").select_option(key)


def said(tab: Visit) -> str:
    return tab.page.locator("#samples .body p.row").inner_text()


def cells(tab: Visit, selector: str) -> list[str]:
    return [text.strip() for text in tab.page.locator(selector).all_inner_texts()]


def sample(tab: Visit, number: int) -> list[str]:
    """The values of a row of the table of samples."""
    return cells(tab, f"#samples tbody tr:nth-child({number}) td")


def end(tab: Visit, end: str) -> list[str]:
    """The values of an end of the walk through a table."""
    return cells(tab, f"#path tbody tr td:nth-of-type({1 if end == 'a' else 3})")


def chosen(tab: Visit) -> list[str]:
    return [tab.page.locator("#path select").nth(i).input_value() for i in range(2)]


def test_the_ends_of_a_walk_are_samples_that_are_drawn(tab: Visit, models: Models) -> None:
    tab.open(models.table)
    for _ in range(2):
        assert chosen(tab) == ["0", "1"]
        assert end(tab, "a") == sample(tab, 1)
        assert end(tab, "b") == sample(tab, 2)
        tab.page.click("#samples button:text('Draw new samples')")
        tab.idle()
    tab.page.locator("#path select").nth(0).select_option("3")
    tab.idle()
    assert end(tab, "a") == sample(tab, 4)
    options = tab.page.locator("#path select").first.locator("option").all_inner_texts()
    assert options == [f"sample {i + 1}" for i in range(8)]
    # fewer are drawn: the last one of them is the end then
    tab.page.locator("#samples").get_by_label("How many").fill("3")
    tab.idle()
    assert chosen(tab) == ["2", "1"]
    assert end(tab, "a") == sample(tab, 3)


def test_a_row_of_a_table_is_taken_by_a_click_and_by_keys(tab: Visit, models: Models) -> None:
    tab.open(models.table)
    use(tab, "b")
    tab.page.locator("#samples tbody tr:nth-child(6) td").first.click()
    tab.idle()
    assert chosen(tab) == ["0", "5"]
    assert end(tab, "b") == sample(tab, 6)
    assert "Sample 6 is B of the walk" in said(tab)
    use(tab, "a")
    tab.page.focus("#samples .take >> nth=0")
    for key in ("End", "ArrowUp", "ArrowUp", "Enter"):
        tab.page.keyboard.press(key)
    tab.idle()
    assert chosen(tab) == ["5", "5"]
    # whoever comes by Tab comes to the one that was left
    order = tab.page.locator("#samples .take").evaluate_all("(all) => all.map((e) => e.tabIndex)")
    assert order == [-1, -1, -1, -1, -1, 0, -1, -1]


def test_a_row_of_a_table_that_is_taken_is_scored(tab: Visit, address: str, models: Models) -> None:
    tab.open(models.table)
    use(tab, "score")
    tab.page.locator("#samples .take").nth(4).click()
    tab.idle()
    asked = {"model": models.table, "n": 5, "seed": 1}
    log_prob = server.post(f"{address}/sample", json=asked).json()["log_prob"][4]
    shown = tab.page.locator("#point dd").first.inner_text().split(" nats")[0]
    assert float(shown.replace("−", "-")) == pytest.approx(log_prob, abs=1e-2)
    assert "Sample 5 is the row to score" in said(tab)
    # it stays when others are drawn, and stands in the address
    tab.page.click("#samples button:text('Draw new samples')")
    tab.idle()
    tab.page.wait_for_function("() => location.hash.includes('point.row=')")
    tab.reload()
    again = tab.page.locator("#point dd").first.inner_text().split(" nats")[0]
    assert float(again.replace("−", "-")) == pytest.approx(log_prob, abs=1e-2)


@pytest.mark.parametrize("kind", ["points", "images", "table"])
def test_a_row_of_ones_own_stays_when_others_are_drawn(
    tab: Visit, models: Models, kind: str
) -> None:
    tab.open(getattr(models, kind))
    said = tab.page.inner_text("#point dl")
    tab.page.click("#samples button:text('Draw new samples')")
    tab.idle()
    assert tab.page.inner_text("#point dl") == said
    tab.reload()
    assert tab.page.inner_text("#point dl") == said


def test_images_to_choose_are_those_that_are_drawn(tab: Visit, models: Models) -> None:
    tab.open(models.images)
    for _ in range(2):
        drawn = tab.page.evaluate(PICTURES, "#samples canvas")
        assert len(set(drawn)) == 24
        for group in (1, 2):
            selector = f"#path fieldset:nth-of-type({group}) canvas"
            assert tab.page.evaluate(PICTURES, selector) == drawn
        tab.page.click("#samples button:text('Draw new samples')")
        tab.idle()
    use(tab, "b")
    tab.page.locator("#samples .take").nth(6).click()
    tab.idle()
    assert (
        tab.page.locator("#path fieldset").nth(1).get_by_label("Sample 7", exact=True).is_checked()
    )
    # the walk ends there
    taken, last = (
        np.array(tab.page.evaluate(PIXELS, f"#{selector}"))
        for selector in ("samples .take:nth-child(7) canvas", "path .strip canvas:last-child")
    )
    assert np.abs(taken - last).max() <= 2
    use(tab, "score")
    tab.page.focus("#samples .take >> nth=0")
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        tab.page.keyboard.press(key)
    tab.idle()
    assert "is the row to score" in said(tab)


def test_a_point_is_taken_by_a_click_and_by_keys(tab: Visit, address: str, models: Models) -> None:
    tab.open(models.points, **{"samples.n": 50})
    asked = {"model": models.points, "n": 50, "seed": 1}
    points = np.array(server.post(f"{address}/sample", json=asked).json()["x"])

    def taken(name: str) -> int:
        """Which sample stands in the address."""
        tab.idle()
        tab.write_address()
        text: Any = tab.page.evaluate(
            "(name) => new URLSearchParams(location.hash.slice(1)).get(name)", name
        )
        distance = np.abs(points - np.array(text.split(","), float)).max(axis=1)
        assert distance.min() < 1e-3
        return int(distance.argmin()) + 1

    use(tab, "a")
    canvas = tab.page.locator("#samples canvas")
    x, y = tab.page.evaluate(POINT, "#samples canvas")
    canvas.click(position={"x": x, "y": y})
    number = taken("path.a")
    assert f"Sample {number} is A of the walk" in said(tab)
    use(tab, "score")
    canvas.press("ArrowRight")
    canvas.press("Enter")
    other = taken("point.x")
    assert f"Sample {other} is the row to score" in said(tab)
    assert points[other - 1, 0] > points[number - 1, 0]


def test_values_outside_the_data_are_marked_in_samples(
    tab: Visit, address: str, models: Models
) -> None:
    tab.open(models.table, **{"samples.n": 200, "samples.temperature": 2})
    columns = server.get(f"{address}/models/{models.table}").json()["columns"]
    asked = {"model": models.table, "n": 200, "seed": 1, "temperature": 2}
    x = np.array(server.post(f"{address}/sample", json=asked).json()["x"], float)
    low = np.array([each.get("low", -np.inf) for each in columns], float)
    high = np.array([each.get("high", np.inf) for each in columns], float)
    slack = 1e-9 * np.maximum(1, np.abs(x))  # of digits that nobody sees
    outside = (x < low - slack) | (x > high + slack)
    assert outside.any()
    marked = tab.page.evaluate(
        """() => [...document.querySelectorAll('#samples tbody tr')].map(
          (row) => [...row.querySelectorAll('td')].map((cell) => cell.matches('.outside')))"""
    )
    assert marked == outside.tolist()
    # a note, and no error
    colours = "(each) => getComputedStyle(each).color"
    note, hint = (
        tab.page.locator(f"#samples .{each}").first.evaluate(colours)
        for each in ("beyond-note", "hint")
    )
    assert note == hint
    # none is marked where none lies outside
    tab.open(models.table, **{"samples.temperature": 0.05})
    marks, notes = (
        tab.page.locator(f"#samples {each}").count() for each in ("td.outside", ".beyond-note")
    )
    assert notes == (marks > 0)
