"""`/docs` needs nothing from elsewhere, and pages work below a root path and with keys."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.browser.conftest import Models
from tests.helpers.api_keys import add_key
from tests.helpers.http import to_npy
from tests.helpers.servers import Serve
from tests.helpers.visits import Visit

# The largest of red, green and blue of a text.
BRIGHTNESS = """
() => {
  const { color } = getComputedStyle(document.querySelector(".opblock-summary-path"));
  return Math.max(...color.match(/[\\d.]+/g).slice(0, 3).map(Number));
}
"""


def test_the_interface_is_shown_and_can_be_tried(tab: Visit) -> None:
    tab.page.goto(f"{tab.base}/docs#/flow/log_prob")
    tab.page.wait_for_selector(".opblock.is-open .opblock-summary-path")
    assert tab.page.locator(".opblock").count() > 10
    tab.page.get_by_role("button", name="Try it out").first.click()
    tab.page.get_by_role("button", name="Execute").wait_for()
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.picture(f"docs-{scheme}")
        assert (tab.page.evaluate(BRIGHTNESS) > 127) is (scheme == "dark")
    # Swagger UI says so of every address with a _ in it
    tab.errors[:] = [each for each in tab.errors if "deep link whitespace" not in each]


def test_pages_below_a_root_path(
    open_tab: Callable[..., Visit], few: Path, serve: Serve, models: Models
) -> None:
    served = serve("--store", few, "--root-path", "/flows/a")
    tab = open_tab(f"{str(served.client.base_url).rstrip('/')}/flows/a")
    tab.page.goto(f"{tab.base}/docs")
    tab.page.wait_for_selector(".opblock")
    tab.open(models.points)
    assert tab.problems == []
    served.end()


def test_a_key_is_asked_for_and_sent(
    open_tab: Callable[..., Visit], few: Path, serve: Serve, models: Models, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys.json", "reader", models=[models.points])
    served = serve("--store", few, "--keys", tmp_path / "keys.json")
    tab = open_tab(str(served.client.base_url).rstrip("/"))
    tab.open()
    assert "key" in tab.problems[0]
    tab.page.get_by_label("API key").fill(key)
    tab.page.get_by_role("button", name="Use this key").click()
    tab.page.wait_for_selector("#panels section")
    tab.idle()
    assert tab.page.locator("#model option").all_inner_texts() == [models.points]
    tab.upload("rows.npy", to_npy(np.zeros((2, 2), np.float32)))
    tab.page.wait_for_selector("#upload button:text('Download'):visible")
    # figures of all callers are for keys with another scope
    tab.page.locator("#live").scroll_into_view_if_needed()
    tab.page.wait_for_selector("#live .problem:visible")
    assert key not in tab.page.url
    assert key not in tab.page.locator("#upload .request").inner_html()
    served.end()
    # a browser says of every refusal that it was one
    refused = [each for each in tab.errors if "401" in each or "403" in each]
    assert tab.errors == refused
    tab.errors.clear()
