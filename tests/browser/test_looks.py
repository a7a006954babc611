"""Pages look right: nothing overflows, axe finds no serious fault; pictures are left to look at."""

from collections.abc import Callable

import pytest

from tests.browser.conftest import Models
from tests.browser.test_upload import table
from tests.helpers.visits import Visit

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
        tab.page.wait_for_timeout(2500)  # of looks at the metrics
    tab.page.locator(".request summary").first.click()
    assert tab.problems == []
    assert tab.overflowing() == []
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.picture(f"{kind}-{size}-{scheme}")
        assert tab.faults() == []


def test_a_page_without_models_and_one_of_an_error_look_right(tab: Visit) -> None:
    tab.open("detector")
    tab.upload("letter.txt", b"no rows at all")
    tab.page.wait_for_selector("#upload .problem:visible")
    tab.picture("problem")
    assert tab.overflowing() == []
    assert tab.faults() == []
    tab.errors[:] = [each for each in tab.errors if "Failed to load resource" not in each]
