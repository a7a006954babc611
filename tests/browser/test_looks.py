"""Pages look right: nothing overflows, axe finds no serious fault; pictures are left to look at."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Models
from tests.browser.test_upload import table
from tests.helpers.visits import Visit

MIDDLES = """
(all) => all.map((each) => {
  const { top, bottom } = each.getBoundingClientRect();
  return (top + bottom) / 2;
})
"""

# Of texts between two places to break, those that go on in another line.
BROKEN_WORDS = """
(all) => all.flatMap((each) => [...each.childNodes]).flatMap((node) => {
  const words = [...node.textContent.matchAll(/\\S+/g)];
  return words.filter((word) => {
    const range = document.createRange();
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    return new Set([...range.getClientRects()].map(({ top }) => top)).size > 1;
  }).map(([word]) => word);
})
"""

SIZES = {"desktop": (1280, 900), "phone": (360, 740)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["points", "images", "table", "detector", "conditional", "sounds"])
def test_a_model_of_each_kind(
    open_tab: Callable[..., Visit],
    address: str,
    models: Models,
    kind: str,
    size: str,
) -> None:
    width, height = SIZES[size]
    tab = open_tab(
        address,
        viewport={"width": width, "height": height},
        color_scheme="light",
        reduced_motion="reduce",
        has_touch=size == "phone",
    )
    tab.open(getattr(models, kind))
    if kind == "detector":
        tab.open("detector")
        tab.upload("rows.csv", table(2000).encode())
        tab.page.wait_for_selector("#upload table")
    if kind == "points":
        tab.page.locator("#live").scroll_into_view_if_needed()
        tab.page.wait_for_selector("#live .body > .hint:text('rows a second')")
    tab.page.locator(".request summary").first.click()
    assert tab.problems == []
    assert tab.overflowing() == []
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.picture(f"{kind}-{size}-{scheme}")
        assert tab.faults() == []


def test_on_a_phone_names_break_between_their_words(
    open_tab: Callable[..., Visit], address: str, models: Models
) -> None:
    tab = open_tab(address, viewport={"width": 360, "height": 740})
    for model in (models.table, models.mixed):
        tab.open(model)
        assert tab.page.locator("#path .scroll").evaluate(
            "(each) => each.scrollWidth <= each.clientWidth"
        )
        assert tab.page.locator("#path tbody th").evaluate_all(BROKEN_WORDS) == []
    names = tab.page.locator("#path tbody th")
    names.last.evaluate(
        "(each) => { each.textContent = 'x'.repeat(99); each.style.overflowWrap = 'anywhere'; }"
    )
    assert names.evaluate_all(BROKEN_WORDS) == ["x" * 99]


def test_on_a_phone_what_is_said_has_the_width_of_the_page(
    open_tab: Callable[..., Visit], address: str, models: Models
) -> None:
    tab = open_tab(address, viewport={"width": 360, "height": 740})
    tab.open("detector")
    tab.upload("rows.csv", table(500).encode())
    tab.page.wait_for_selector("#upload table caption")
    rows = tab.page.locator("#upload .scroll")
    assert rows.evaluate("(each) => each.scrollWidth > each.clientWidth")
    for place in (0, 1000):
        rows.evaluate("(each, place) => each.scrollTo(place, 0)", place)
        outer, inner = (each.bounding_box() for each in (rows, rows.locator("caption")))
        assert outer is not None
        assert inner is not None
        assert outer["x"] - 1 <= inner["x"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1
    widths = "(all) => all.map((each) => each.clientWidth / each.parentElement.clientWidth)"
    shares = tab.page.locator("#point dd").evaluate_all(widths)
    assert shares
    assert min(shares) > 0.9
    tab.open(models.table)
    walk = tab.page.locator("#path .scroll")
    has_times = models.table == "mixed"  # which are wider than the room beside their names
    assert has_times or walk.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    for slider in tab.page.locator(".field:has(input[type=range])").all():
        tops = slider.locator("> *").evaluate_all(MIDDLES)
        assert max(tops) - min(tops) < 8, "a slider stands on a line of its own"


def test_a_page_without_models_and_one_of_an_error_look_right(tab: Visit) -> None:
    tab.open("detector")
    tab.upload("letter.txt", b"no rows at all")
    tab.page.wait_for_selector("#upload .problem:visible")
    tab.picture("problem")
    assert tab.overflowing() == []
    assert tab.faults() == []
    tab.errors[:] = [each for each in tab.errors if "Failed to load resource" not in each]


def test_a_table_that_goes_on_has_a_shadow_at_its_edge(
    open_tab: Callable[..., Visit], address: str, models: Models
) -> None:
    tab = open_tab(address, viewport={"width": 390, "height": 800}, color_scheme="light")
    tab.open(models.table)
    table = tab.page.locator("#samples .scroll")
    assert table.evaluate("(each) => each.scrollWidth > each.clientWidth")
    assert table.get_attribute("tabindex") == "0"

    def brightness() -> tuple[float, float]:
        """Of the left and of the right edge, behind the rows."""
        picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
        pixels = np.asarray(picture)[40:]
        return float(np.median(pixels[:, 1:4])), float(np.median(pixels[:, -4:-1]))

    left, right = brightness()
    assert right < left - 30  # there is more to the right
    table.evaluate("(each) => each.scrollTo(each.scrollWidth, 0)")
    left, right = brightness()
    assert left < right - 30
