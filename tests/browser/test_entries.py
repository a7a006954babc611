"""A field for a number says what it takes, and a result that is not of its entry is grey."""

import pytest

from tests.browser.conftest import Models
from tests.browser.test_upload import table
from tests.helpers.visits import Visit

SEED = "Enter a whole number from 0 to 4294967295."
COUNT = "Enter a whole number from 1 to 10000."


@pytest.mark.parametrize(
    ("label", "entry", "takes"),
    [
        ("Seed", "-1", SEED),
        ("Seed", "1.5", SEED),
        ("Seed", "4294967296", SEED),
        ("How many", "0", COUNT),
        ("How many", "999999", COUNT),
        ("How many", "", COUNT),
    ],
)
def test_a_refused_number_is_said_and_its_result_is_greyed(
    tab: Visit, models: Models, label: str, entry: str, takes: str
) -> None:
    tab.open(models.points)
    panel = tab.page.locator("#samples")
    field = panel.get_by_label(label)
    faded = "() => getComputedStyle(document.querySelector('#samples canvas')).opacity"
    asked = panel.locator(".stale-note")
    assert not asked.is_visible()
    assert tab.page.evaluate(faded) == "1"
    field.fill(entry)
    assert field.get_attribute("aria-invalid") == "true"
    message = tab.page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert message.inner_text() == takes
    assert message.bounding_box()["y"] > field.bounding_box()["y"]  # type: ignore[index]
    assert asked.is_visible()
    assert float(tab.page.evaluate(faded)) < 0.6
    said = f"{label}: {takes}"
    tab.page.wait_for_function(
        "(said) => document.getElementById('announcer').textContent === said", arg=said
    )
    assert tab.faults() == []
    field.fill("7")
    tab.idle()
    assert field.get_attribute("aria-invalid") is None
    assert not message.is_visible()
    assert not asked.is_visible()
    assert tab.page.evaluate(faded) == "1"


def test_a_new_draw_takes_the_place_of_a_refused_seed(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    field = tab.page.locator("#samples").get_by_label("Seed")
    field.fill("-1")
    tab.page.click("#samples button:text('Draw new samples')")
    tab.idle()
    assert field.get_attribute("aria-invalid") is None
    assert tab.page.locator("#samples .stale").count() == 0


@pytest.mark.parametrize("kind", ["points", "images", "table", "detector", "conditional"])
def test_every_field_for_a_number_says_what_it_takes(tab: Visit, models: Models, kind: str) -> None:
    tab.open(getattr(models, kind))
    # nothing is a value of columns that may lack one
    fields = tab.page.locator(
        "input:is([type=number], [inputmode=decimal]):visible:not([placeholder=missing])"
    )
    assert fields.count() > 0
    for i in range(fields.count()):
        field = fields.nth(i)
        value = field.input_value()
        field.fill("")
        field.press("Tab")
        name = field.evaluate("(each) => each.labels[0].textContent")
        assert field.get_attribute("aria-invalid") == "true", name
        message = tab.page.locator(f"#{field.get_attribute('aria-describedby')}")
        says = ("Enter a number", "Enter a whole number", f"{name} takes a")
        assert message.inner_text().startswith(says), name
        assert tab.page.locator(".stale").count() > 0, name
        field.fill(value)
        field.press("Tab")
        tab.idle()
        assert tab.page.locator(".refusal, .stale").count() == 0, name


@pytest.mark.parametrize("value", ["-1", "1.5", "1e99", "x"])
def test_an_address_with_another_seed_shows_the_usual_one(
    tab: Visit, models: Models, value: str
) -> None:
    tab.open(models.points, **{"samples.seed": value})
    assert tab.page.locator("#samples").get_by_label("Seed").input_value() == "1"
    assert tab.problems == []


@pytest.mark.parametrize(
    ("kind", "largest"), [("points", "3.4e38"), ("table", "1.7e308"), ("conditional", "3.4e38")]
)
def test_every_field_says_of_a_number_that_it_is_too_large(
    tab: Visit, models: Models, kind: str, largest: str
) -> None:
    tab.open(getattr(models, kind))
    fields = tab.page.locator("input[inputmode=decimal]:visible")
    assert fields.count() > 0
    for i in range(fields.count()):
        field = fields.nth(i)
        value = field.input_value()
        for text in ("1e400", "-1e400", "1e39"):
            field.fill(text)
            field.press("Tab")
            tab.idle()
            messages = tab.page.locator(".refusal").all_inner_texts()
            if text == "1e39" and largest != "3.4e38":
                assert not any("too large" in each for each in messages)
                continue
            assert field.get_attribute("aria-invalid") == "true"
            (message,) = messages
            assert message.endswith(f"“{text}” is too large: numbers go up to {largest}.")
        field.fill(value)
        field.press("Tab")
        tab.idle()
    assert tab.problems == []


def test_no_result_is_spoken_of_where_none_is_shown(tab: Visit) -> None:
    tab.open("detector")
    field = tab.page.locator("#upload").get_by_label("Alarm level α")
    note = tab.page.locator("#upload .stale-note")
    field.fill("7")
    field.press("Tab")
    assert field.get_attribute("aria-invalid") == "true"
    assert not note.is_visible()
    tab.upload("rows.csv", table(20).encode())
    tab.page.wait_for_selector("#upload table caption")
    assert note.is_visible()
    field.fill("0.5")
    field.press("Tab")
    assert not note.is_visible()
