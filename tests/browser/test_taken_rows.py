"""A sample that is taken keeps its digits: on the page, in the CSV, by a link it has one score."""

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.browser.conftest import Models
from tests.browser.test_choices import POINT, use
from tests.helpers.visits import Visit, server

if TYPE_CHECKING:
    from playwright.sync_api import Response


class Asked:
    """What a page has asked for, and which samples it got."""

    def __init__(self, tab: Visit) -> None:
        self.bodies: dict[str, Any] = {}
        """The last body in JSON of each endpoint."""
        self._drawn: Response | None = None
        tab.page.on("response", self._note)

    def _note(self, response: "Response") -> None:
        request = response.request
        if request.headers.get("content-type") != "application/json":
            return
        body = json.loads(request.post_data or "")
        self.bodies[request.url.rsplit("/", 1)[1]] = body
        if "temperature" in body:  # not the rows that all panels have in common
            self._drawn = response

    @property
    def samples(self) -> NDArray[Any]:
        """The samples of the page, a line each. Other answers to the same question may round."""
        assert self._drawn is not None
        rows: NDArray[Any] = np.load(io.BytesIO(self._drawn.body()))
        return rows.reshape(len(rows), -1)


def single(rows: Any) -> list[list[float]]:
    """Rows of float32, as the server reads them."""
    found: list[list[float]] = np.array(rows, np.float32).reshape(len(rows), -1).tolist()
    return found


def test_a_point_that_is_taken_is_scored_as_it_was_drawn(tab: Visit, models: Models) -> None:
    asked = Asked(tab)
    tab.open(models.points, **{"samples.n": 50})
    rows = single(asked.samples)
    canvas = tab.page.locator("#samples canvas")
    use(tab, "score")
    x, y = tab.page.evaluate(POINT, "#samples canvas")
    canvas.click(position={"x": x, "y": y})
    tab.idle()
    taken = single(asked.bodies["log_prob"]["x"])[0]
    assert taken in rows
    canvas.press("ArrowRight")
    canvas.press("Enter")
    tab.idle()
    (other,) = single(asked.bodies["log_prob"]["x"])
    assert other in rows
    assert other != taken
    said = tab.page.inner_text("#point dl")
    tab.reload()
    assert single(asked.bodies["log_prob"]["x"]) == [other]
    assert tab.page.inner_text("#point dl") == said


def test_a_walk_begins_at_the_point_that_is_taken(tab: Visit, models: Models) -> None:
    asked = Asked(tab)
    tab.open(models.points, **{"samples.n": 50})
    rows = single(asked.samples)
    canvas = tab.page.locator("#samples canvas")
    for end, name in (("a", "start"), ("b", "end")):
        use(tab, end)
        canvas.press("ArrowRight")
        canvas.press("Enter")
        tab.idle()
        taken = single([asked.bodies["interpolate"][name]])
        assert taken[0] in rows
        tab.reload()
        assert single([asked.bodies["interpolate"][name]]) == taken


@pytest.mark.parametrize("kind", ["images", "sounds", "numbers"])
def test_a_row_of_numbers_is_scored_as_it_was_drawn(tab: Visit, models: Models, kind: str) -> None:
    asked = Asked(tab)
    tab.open(getattr(models, kind))
    rows = single(asked.samples)
    use(tab, "score")
    tab.page.locator("#samples .take").nth(2).click()
    tab.idle()
    assert single(asked.bodies["log_prob"]["x"]) == [rows[2]]
    tab.reload()
    assert single(asked.bodies["log_prob"]["x"]) == [rows[2]]


def test_a_row_of_a_table_is_scored_as_it_was_drawn(tab: Visit, models: Models) -> None:
    asked = Asked(tab)
    tab.open(models.mixed)
    columns = server.get(f"{tab.base}/models/{models.mixed}").json()["columns"]
    drawn, are_numbers = asked.samples, [each["kind"] in ("numeric", "lattice") for each in columns]
    assert any(are_numbers)

    def check(i: int) -> None:
        """Row i is asked about."""
        (row,) = asked.bodies["log_prob"]["rows"]
        values = [row[each["name"]] for each in columns]
        for value, expected, is_number in zip(values, drawn[i], are_numbers, strict=True):
            assert not is_number or value == (None if np.isnan(expected) else expected)

    use(tab, "score")
    are_long = (np.abs(drawn[:, are_numbers] * 1e6 % 1 - 0.5) < 0.49).any(axis=1)
    assert are_long.any()
    for i in np.flatnonzero(are_long)[:2].tolist():
        tab.page.locator("#samples .take").nth(i).click()
        tab.idle()
        check(i)
        tab.reload()
        check(i)


def test_fields_show_the_digits_of_the_csv(tab: Visit, models: Models) -> None:
    tab.open(models.points, **{"samples.n": 20})
    with tab.page.expect_download() as download:
        tab.page.click("#samples button:text('Download samples (CSV)')")
    rows = np.loadtxt(download.value.path(), delimiter=",", skiprows=1)
    use(tab, "score")
    canvas = tab.page.locator("#samples canvas")
    canvas.press("ArrowRight")
    canvas.press("Enter")
    tab.idle()
    fields = tab.page.locator("#point input[inputmode=decimal]")
    texts = [fields.nth(i).input_value() for i in range(fields.count())]
    assert all(len(text.lstrip("-").replace(".", "").lstrip("0")) <= 9 for text in texts)
    # another draw of the same seed may round otherwise
    assert np.abs(rows / np.array(texts, float) - 1).max(axis=1).min() < 1e-5
