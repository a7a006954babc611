"""Every command that the page shows asks the server the same, and prints an answer to be read."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.helpers.http import to_npy
from tests.helpers.visits import Visit, server

KINDS = ("points", "images", "table", "detector", "conditional", "sounds")

# More than a shell takes as one argument, Linux's MAX_ARG_STRLEN.
MOST_BYTES = 2**17


@pytest.fixture
def tab(open_tab: Callable[..., Visit], address: str) -> Visit:
    return open_tab(address, permissions=["clipboard-read", "clipboard-write"])


def command(tab: Visit, panel: str, folder: Path) -> str:
    """The command of a panel, as its button copies it; a body that it reads is saved for it."""
    request = tab.page.locator(f"#{panel} .request")
    if request.get_attribute("open") is None:
        request.locator("summary").click()
    tab.page.evaluate("navigator.clipboard.writeText('')")
    request.get_by_role("button", name="Copy").click()
    # "Copied." goes with the next request, which of the live panel is there within a second
    tab.page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    for save in request.locator("a").all():
        with tab.page.expect_download() as download:
            save.click()
        download.value.save_as(folder / download.value.suggested_filename)
    line: str = tab.page.evaluate("navigator.clipboard.readText()")
    return line


def printed(line: str, folder: Path) -> str:
    """What a command, of a line or several, prints that a server has answered with success."""
    lines = [f"{each} --fail-with-body" for each in line.splitlines()]
    done = subprocess.run(
        ["bash", "-c", " && ".join(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{line[:500]}: {done.stdout}{done.stderr}"
    return done.stdout


def answered(line: str, folder: Path) -> dict[str, Any]:
    """The fields of all that a command prints: an answer a line of it."""
    answer: dict[str, Any] = {}
    text, read = printed(line, folder), json.JSONDecoder().raw_decode
    while text := text.strip():
        fields, end = read(text)
        answer |= fields
        text = text[end:]
    return answer


def shown_log_prob(tab: Visit, selector: str) -> float:
    """The log-density that a panel says."""
    found = re.search(r"Log-density\s+(-?[\d.e-]+) nats", tab.page.inner_text(selector))
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_answers_what_its_panel_shows(
    tab: Visit, models: Models, kind: str, tmp_path: Path
) -> None:
    tab.open(getattr(models, kind))
    with tab.page.expect_response("**/metrics"):
        tab.page.locator("#live").scroll_into_view_if_needed()
    panels = tab.page.locator("#panels section").evaluate_all("(all) => all.map(({ id }) => id)")
    lines = {panel: command(tab, panel, tmp_path) for panel in panels if panel != "upload"}
    assert "bijecta_requests_total" in printed(lines.pop("live"), tmp_path)
    answers = {panel: answered(line, tmp_path) for panel, line in lines.items()}

    row = answers["point"]
    assert row["log_prob"][0] == pytest.approx(shown_log_prob(tab, "#point dl"), rel=1e-3, abs=1e-3)
    assert ("z" in row) == ("Latent" in tab.page.inner_text("#point dl"))
    if kind == "detector":
        assert answers.keys() == {"point"}
        return
    asked = json.loads(shlex.split(lines["samples"])[-1])
    assert len(answers["samples"]["log_prob"]) == asked["n"]

    place = tab.page.locator("#path .request > p:visible").first.inner_text()
    number, count = map(int, re.findall(r"number (\d+) of the (\d+)", place)[0])
    path = answers["path"]
    assert len(path["log_prob"]) == count
    between = path["log_prob"][number - 1]
    assert between == pytest.approx(shown_log_prob(tab, "#path p.readout"), rel=2e-3, abs=1e-3)
    if kind == "table":
        manifest = server.get(f"{tab.base}/models/{models.table}").json()
        names = [each["name"] for each in manifest["columns"]]
        at = next(i for i, each in enumerate(manifest["columns"]) if each["kind"] == "categorical")
        shown = tab.page.locator("#path td.now").nth(at).inner_text()
        value = path["rows"][number - 1][names[at]]
        assert (value if isinstance(value, str) else json.dumps(value)) == shown
        assert answers["samples"]["rows"][0].keys() == {*names}
    if "layers" in answers:
        assert {len(each) for each in answers["layers"]["log_probs"]} == {
            len(answers["layers"]["states"][0])
        }
        assert lines["layers"].endswith("< 'z.npy'")
        said = tab.page.locator("#layers .request > p:visible").first.inner_text()
        assert "save it there by the link below" in said


@pytest.mark.parametrize("t", [0, 0.005, 0.31, 0.75, 1])
def test_each_place_of_a_walk_has_a_command(
    tab: Visit, models: Models, t: float, tmp_path: Path
) -> None:
    tab.open(models.points, **{"path.t": t})
    path = answered(command(tab, "path", tmp_path), tmp_path)
    place = tab.page.locator("#path .request > p:visible").first.inner_text()
    number, count = map(int, re.findall(r"number (\d+) of the (\d+)", place)[0])
    assert (number - 1) / (count - 1) == pytest.approx(t)
    between = path["log_prob"][number - 1]
    assert between == pytest.approx(shown_log_prob(tab, "#path p.readout"), rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("name", ["rows.csv", "it's mine.npy"])
def test_a_file_is_scored_by_the_command_alike(
    tab: Visit, models: Models, name: str, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    text = "\n".join(["x0,x1", *(f"{x},{y}" for x, y in rows.tolist())])
    content = text.encode() if name.endswith(".csv") else to_npy(rows)
    (tmp_path / name).write_bytes(content)
    tab.open(models.points)
    tab.upload(name, content)
    tab.page.wait_for_selector("#upload button:text('Download'):visible")
    answer = answered(command(tab, "upload", tmp_path), tmp_path)
    expected = server.post(
        f"{tab.base}/log_prob", json={"model": models.points, "x": rows.tolist()}
    ).json()
    assert answer["log_prob"] == pytest.approx(expected["log_prob"], rel=1e-4, abs=1e-4)
    said = tab.page.locator("#upload .request > p:visible").first.inner_text()
    assert said == f"The command reads the file {name} in the folder where it runs."


def test_a_body_that_no_shell_takes_comes_from_a_file(
    tab: Visit, models: Models, tmp_path: Path
) -> None:
    tab.open(models.points)
    described = tab.page.evaluate(
        """async (model) => {
          const { described } = await import("./playground/js/ask.js");
          return described("log_prob", { json: { model, x: new Array(30_000).fill([0, 0]) } });
        }""",
        models.points,
    )
    assert len(described["line"]) < MOST_BYTES < len(described["body"])
    (tmp_path / described["file"]).write_text(described["body"])
    assert len(answered(described["line"], tmp_path)["log_prob"]) == 30_000
