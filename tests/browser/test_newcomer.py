"""Who opens the page for the first time sees what it is about, and finds everything."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.helpers.visits import Visit, server

if TYPE_CHECKING:
    from playwright.sync_api import Route

# Whether the places of elements are on one line.
TOPS = "(all) => all.map((each) => Math.round(each.getBoundingClientRect().top))"


def without(model: dict[str, Any], **other: Any) -> dict[str, Any]:
    return model | {"name": "a-model"} | other


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "detector"},
        {"event_shape": [8, 8]},
        {"kind": "table"},
        {"context": [{"name": "label", "classes": [0, 1]}]},
        {"distilled": {"teacher": "moons"}},
        {"cost": {"encode": "sequential", "decode": "parallel"}},
        {"name": "zzz"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_first_model_is_a_flow_of_the_plane_that_has_learned_from_data(
    tab: Visit, address: str, models: Models, other: dict[str, Any]
) -> None:
    answer = server.get(f"{address}/models").json()
    (points,) = [model for model in answer["models"] if model["name"] == models.points]
    listed = answer | {"models": [without(points, **other), points]}
    tab.page.route("**/models", lambda route: route.fulfill(json=listed))
    tab.page.goto(tab.base)
    tab.page.wait_for_selector("#panels section")
    tab.idle()
    assert tab.page.input_value("#model") == models.points


def test_the_list_of_models_names_the_teacher_of_a_student(address: str, models: Models) -> None:
    listed = server.get(f"{address}/models").json()["models"]
    for model in listed:
        manifest = server.get(f"{address}/models/{model['name']}").json()
        teacher = (manifest.get("distilled") or {}).get("teacher")
        assert (model.get("distilled") or {}).get("teacher") == teacher
    assert any(model.get("distilled") for model in listed)


@pytest.mark.parametrize("kind", ["points", "images", "table", "detector", "conditional"])
def test_a_model_is_explained_below_its_name(
    tab: Visit, address: str, models: Models, kind: str
) -> None:
    name = getattr(models, kind)
    tab.open(name)
    manifest = server.get(f"{address}/models/{name}").json()
    about = tab.page.inner_text("#about")
    columns = manifest["columns"] if manifest.get("columns") else range(manifest["event_shape"][0])
    assert f"{len(columns)} " in about
    assert manifest["data"]["name"] in about
    words = {
        "maf": "a masked autoregressive flow (MAF): each number is shifted and stretched",
        "maf-logistic": "a masked autoregressive flow with mixtures of logistic curves: each",
        "iaf": "an inverse autoregressive flow (IAF): a masked autoregressive flow turned round",
        "tabular": "a density of typed columns: each column, of numbers, times or classes,",
        "detector": "It says of a row how unusual it is",
    }
    assert words["detector" if kind == "detector" else manifest["family"]] in about
    if manifest.get("distilled"):
        assert f"what the model {manifest['distilled']['teacher']} draws" in about


@pytest.mark.parametrize("width", [390, 1280])
def test_links_lead_to_every_panel(
    open_tab: Callable[..., Visit], address: str, models: Models, width: int
) -> None:
    tab = open_tab(address, viewport={"width": width, "height": 800})
    tab.open(models.points, **{"samples.seed": 5})
    links = tab.page.locator("#jump a")
    titles = tab.page.locator("#panels h2")
    assert links.all_inner_texts() == titles.all_inner_texts()
    tab.write_address()
    before = tab.page.url
    for i in range(links.count()):
        links.nth(i).click()
        box = titles.nth(i).bounding_box()
        assert box is not None
        assert -1 <= box["y"] < 800
        assert titles.nth(i).evaluate("(each) => each === document.activeElement")
    assert tab.page.url == before
    assert tab.page.locator("#samples").get_by_label("Seed").input_value() == "5"


@pytest.mark.parametrize("kind", ["points", "images", "table", "sounds"])
def test_controls_of_samples_stand_on_one_line(tab: Visit, models: Models, kind: str) -> None:
    tab.open(getattr(models, kind))
    fields = "#samples .row:first-child > :is(button:first-child, .field:has(input[type=number]))"
    tops = tab.page.locator(fields).evaluate_all(TOPS)
    assert len(tops) == 3
    assert max(tops) - min(tops) <= 1


@pytest.mark.parametrize(
    "ends",
    [None, ((-1.5, -0.6), (2.2, 1.0)), ((-30.0, 0.0), (2.0, 0.0))],
    ids=["usual", "far", "out"],
)
def test_the_plot_of_a_walk_holds_its_path(
    tab: Visit, address: str, models: Models, ends: tuple[tuple[float, ...], ...] | None
) -> None:
    state = {}
    if ends is not None:
        state = {"path.a": f"{ends[0][0]},{ends[0][1]}", "path.b": f"{ends[1][0]},{ends[1][1]}"}
    tab.open(models.points, **state)
    asked: dict[str, Any] = {"model": models.points}
    sample = server.post(f"{address}/sample", json=asked | {"n": 1000, "seed": 0}).json()
    points = np.array(sample["x"])
    if ends is None:
        ends = (points[points[:, 0].argmin()], points[points[:, 0].argmax()])
    asked |= {"start": list(ends[0]), "end": list(ends[1]), "steps": 2049}
    asked["path"] = tab.page.get_by_label("Path in the latent space").input_value()
    path = np.array(server.post(f"{address}/interpolate", json=asked).json()["x"], float)
    # twice the length of the axes farther than they are, and no more
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    low, high = low - 0.2 * (high - low), high + 0.2 * (high - low)
    near = np.clip(path, low - 1.9 * (high - low), high + 1.9 * (high - low))
    # the path that leaves the plot is said to: axes have up to 5 % of room beyond
    is_said = tab.page.get_by_text("The path leaves this plot").is_visible()
    assert is_said or not (np.abs(path - near) > 0.5 * (high - low)).any()
    assert not is_said or (path != near).any()
    held = np.concatenate([near, ends])
    # a point that is dragged out of a corner of the plot stays there
    canvas = tab.page.locator("#path canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    corners = []
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    for x, y in ((0, box["height"]), (box["width"], 0)):
        tab.page.mouse.move(box["x"] + x, box["y"] + y)
        tab.idle()
        tab.write_address()
        values = tab.page.evaluate(
            "['a', 'b'].map((end) => new URLSearchParams(location.hash).get(`path.${end}`))"
        )
        moved = [text for text in values if text not in (*state.values(), None)]
        corners.append([float(value) for value in moved[0].split(",")])
    tab.page.mouse.up()
    assert (np.array(corners[0]) <= held.min(axis=0)).all()
    assert (np.array(corners[1]) >= held.max(axis=0)).all()


def test_kinds_of_paths_are_explained(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    kind = tab.page.get_by_label("Path in the latent space")
    words = tab.page.locator("#path .field:has(select) .hint")
    said = set()
    for index in range(kind.locator("option").count()):
        kind.select_option(index=index)
        said.add(words.inner_text())
    assert len(said) == kind.locator("option").count()
    assert all("A" in each and each.endswith(".") for each in said)


@pytest.mark.parametrize(("layers", "count"), [(["first", "second"], 6), (None, 5)])
def test_columns_of_panels_are_about_as_long(
    tab: Visit, models: Models, layers: list[str] | None, count: int
) -> None:
    manifest = server.get(f"{tab.base}/models/{models.points}").json()
    manifest["layers"] = layers and {"names": layers}

    def stand_still(route: "Route") -> None:
        """Answer as layers do that move nothing."""
        z = np.load(io.BytesIO(route.request.post_data_buffer or b""))
        written = io.BytesIO()
        np.save(written, np.stack([z] * 3, axis=1))
        route.fulfill(body=written.getvalue(), content_type="application/x-npy")

    tab.page.route(lambda url: "/layers?" in url, stand_still)
    tab.page.route(f"**/models/{models.points}", lambda route: route.fulfill(json=manifest))
    tab.open(models.points)
    assert tab.page.locator(".panel").count() == count
    bottoms = tab.page.locator(".column").evaluate_all(
        "(all) => all.map((each) => each.lastElementChild.getBoundingClientRect().bottom)"
    )
    assert abs(bottoms[0] - bottoms[1]) < 300
