"""Charts of the server show what was read, and nothing where nothing was."""

import itertools
import re

from tests.browser.conftest import Models
from tests.helpers.visits import Visit

# A tab that is put in the background, or comes back.
HIDE = """
(isHidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""

SAID = "#live .body > .hint"


def watch(tab: Visit, models: Models) -> None:
    """Come to the charts, and wait for the first values."""
    tab.open(models.points)
    tab.page.locator("#live").scroll_into_view_if_needed()
    assert tab.page.inner_text(SAID) == "Waiting for the first two readings."
    tab.page.wait_for_selector(f"{SAID}:text('rows a second')")


def readings(tab: Visit) -> list[tuple[int, str]]:
    """Seconds ago, and what is said of it, of each value of the first chart."""
    chart = tab.page.locator("#live .chart").first
    count = int(chart.get_attribute("aria-valuemax") or 0) + 1
    chart.press("Home")
    said = []
    for _ in range(count):
        said.append(chart.get_attribute("aria-valuetext") or "")
        chart.press("ArrowRight")
    chart.blur()
    parts = [each.split(" s ago: ") for each in dict.fromkeys(said)]
    return [(int(ago), text) for ago, text in parts]


def legend(tab: Visit) -> str:
    return tab.page.locator("#live .key strong").first.inner_text()


def test_a_curve_breaks_where_nobody_looked(tab: Visit, models: Models) -> None:
    watch(tab, models)
    assert legend(tab).endswith(" a second")
    tab.page.evaluate(HIDE, True)
    tab.page.wait_for_timeout(5000)
    tab.page.evaluate(HIDE, False)
    tab.page.wait_for_selector(f"{SAID}:text('Waiting for the next reading.')")
    assert legend(tab) == ""
    tab.page.wait_for_selector(f"{SAID}:text('rows a second')")
    said = readings(tab)
    assert sum(text == "no reading" for _, text in said) == 1
    assert all(text == "no reading" or "answered" in text for _, text in said)
    ends_of_gap = [(a, b) for (a, _), (b, _) in itertools.pairwise(said) if a - b > 3]
    assert len(ends_of_gap) == 1
    before, after = ends_of_gap[0]
    assert dict(said)[after] == "no reading", "a curve leads across the gap"
    assert before > after


def test_a_hidden_page_asks_nothing_and_goes_on_afterwards(tab: Visit, models: Models) -> None:
    watch(tab, models)
    with tab.page.expect_response("**/metrics"):
        pass  # the next question is a second away
    tab.page.evaluate(HIDE, True)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.wait_for_timeout(2500)  # of two looks and a half
    assert asked == []
    with tab.page.expect_request("**/metrics"):
        tab.page.evaluate(HIDE, False)


def test_readings_go_on_out_of_sight(tab: Visit, models: Models) -> None:
    watch(tab, models)
    reaches = "(n) => Number(document.querySelector('#live .chart').ariaValueMax) >= n"
    seen = len(readings(tab))
    tab.page.evaluate("scrollTo(0, 0)")
    tab.page.wait_for_function(reaches, arg=seen + 2, timeout=30_000)
    assert tab.page.evaluate("scrollY") == 0
    # of another model as well
    tab.page.select_option("#model", models.table)
    tab.page.wait_for_function(f"() => document.title.startsWith({models.table!r})")
    tab.page.wait_for_function(reaches, arg=seen + 4, timeout=30_000)
    assert tab.page.evaluate("scrollY") == 0


def test_without_an_answer_the_legend_says_nothing(tab: Visit, models: Models) -> None:
    watch(tab, models)
    tab.page.route("**/metrics", lambda route: route.abort())
    tab.page.wait_for_selector("#live .problem:visible")
    tab.page.wait_for_function(
        "() => document.querySelector('#live .key strong').textContent === ''", timeout=15_000
    )
    assert tab.page.inner_text(SAID) == "Waiting for the next reading."
    tab.page.unroute("**/metrics")
    tab.page.wait_for_selector(f"{SAID}:text('rows a second')", timeout=30_000)
    assert tab.problems == []
    tab.errors[:] = [each for each in tab.errors if not re.search("metrics", each)]
