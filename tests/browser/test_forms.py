"""What stands in a form of typed columns: times in their own form, classes in their own order."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service import bundle
from tests.browser.conftest import STORED, Models
from tests.browser.test_point import REFUSAL
from tests.helpers.servers import Serve
from tests.helpers.visits import Visit, server

FORMS = ["%H:%M", "%H:%M:%S", "%d/%m/%Y %H:%M", "%b %d, %Y %H:%M:%S.%f", "%Y-%m-%dT%H:%M%z"]


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> str:
    """The address of a server of models whose times are written in each form."""
    store = tmp_path_factory.mktemp("timed")
    for i in range(len(FORMS)):
        folder = store / f"timed-{i}"
        shutil.copytree(STORED / "format_2" / "store" / "mixed", folder)
        write_form(folder / "1" / "manifest.json", folder.name, FORMS[i])
    return str(serve("--store", store).client.base_url).rstrip("/")


def write_form(manifest: Path, name: str, form: str) -> None:
    """Let the times of a bundle be written in a form."""
    content = json.loads(manifest.read_text()) | {"name": name}
    for column in content["columns"]:
        if column["kind"] == "datetime":
            column["format"] = form
    # its row has a time in the form that the bundle was written with
    del content["self_test"]
    content["raw_values"].remove("self_test")
    content["checksum"] = bundle.checksum(content)
    manifest.write_text(json.dumps(content))


@pytest.mark.parametrize("form", FORMS)
def test_times_are_written_as_their_column_reads_them(
    open_tab: Callable[..., Visit], timed: str, form: str
) -> None:
    model = f"timed-{FORMS.index(form)}"
    tab = open_tab(timed)
    tab.open(model, **{"samples.n": 20})
    asked = {"model": model, "n": 20, "seed": 1, "records": True}
    rows = server.post(f"{timed}/sample", json=asked).json()["rows"]
    shown = tab.page.locator("#samples tbody td:nth-of-type(1)").all_inner_texts()
    assert [each.rstrip("*").strip() for each in shown] == [row["when"] for row in rows]
    # the server takes what the form begins with
    entry = tab.page.locator("#point").get_by_label("when", exact=True)
    assert entry.input_value() == rows[0]["when"]
    assert tab.page.locator("#point dd").count() > 0
    entry.fill("noon")
    tab.page.wait_for_selector(REFUSAL)
    example = tab.page.inner_text(REFUSAL).split(" such as ")[1].split("; ")[0]
    entry.fill(example)
    tab.page.wait_for_selector(REFUSAL, state="detached")
    tab.idle()
    assert tab.problems == []


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([2, 1, 10], ["1", "2", "10"]),
        (["b", "a10", "a9"], ["a9", "a10", "b"]),
        ([True, False], ["false", "true"]),
    ],
)
def test_classes_stand_in_their_own_order(
    tab: Visit, models: Models, classes: list[object], expected: list[str]
) -> None:
    manifest = server.get(f"{tab.base}/models/{models.table}").json()
    column = next(each for each in manifest["columns"] if each["kind"] == "categorical")
    column |= {"classes": classes, "other": True}
    tab.page.route(f"**/models/{models.table}", lambda route: route.fulfill(json=manifest))
    tab.page.route("**/log_prob*", lambda route: route.fulfill(json={"log_prob": [None]}))
    tab.open(models.table)
    options = tab.page.locator("#point").get_by_label(column["name"], exact=True).locator("option")
    assert options.all_inner_texts() == [*expected, "any other"]
