"""What is said of files and commands is of what is there, and true."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.browser.test_upload import choose, said, table
from tests.helpers.http import to_npy
from tests.helpers.visits import Visit

NO_RESULT = "There is no result here that a command could ask for."


def refused(tab: Visit) -> None:
    """A browser says of every refusal that it was one."""
    tab.errors[:] = [each for each in tab.errors if "Failed to load resource" not in each]


def test_no_command_of_an_earlier_file_stands_under_an_error(tab: Visit) -> None:
    tab.open("detector")
    tab.page.locator("#upload .request summary").click()
    code = tab.page.locator("#upload .request code")
    copy = tab.page.locator("#upload .request").get_by_role("button", name="Copy")
    choose(tab, "good.csv", table(10).encode())
    assert "good.csv" in code.inner_text()
    for name, content in (("empty.csv", b""), ("wide.csv", b"amount,count,country,seen\n1,2\n")):
        choose(tab, name, content)  # by the page, and by the server
        assert code.inner_text() == NO_RESULT
        assert not copy.is_visible()
        assert tab.page.locator("#upload .request > p:visible").count() == 0  # no note, no buttons
    choose(tab, "good.csv", table(10).encode())
    assert "good.csv" in code.inner_text()
    assert copy.is_visible()
    refused(tab)


BROKEN = {
    "noise.npy": (b"\x01\x02\x03" * 50, "is no npy array"),
    "half.npy": (to_npy(np.zeros((3, 2)))[:-5], "npy array"),
    "none.npy": (to_npy(np.zeros((0, 2))), "an array of one row"),
    "noise.parquet": (b"\x01\x02\x03" * 50, "is no Parquet file"),
    "half.parquet": (b"PAR1" + b"\x01\x02\x03" * 50, "Parquet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_has_an_error_of_its_own_kind(tab: Visit, models: Models, name: str) -> None:
    content, words = BROKEN[name]
    tab.open(models.points)
    choose(tab, name, content)
    (problem,) = tab.problems
    assert name in problem
    assert words in problem
    for other in ("line of names", "CSV", "header of names"):
        assert other not in problem
    refused(tab)


def test_a_first_line_that_was_taken_for_names_is_named(tab: Visit, models: Models) -> None:
    tab.open(models.numbers)
    choose(tab, "rows.csv", b"0.5,0.25,1\n1,2,3\n3,4,5\n")
    assert "first line holds numbers, and was taken for the names" in said(tab)
    for header in ("0,1,2", "a,b,c"):
        choose(tab, "rows.csv", f"{header}\n1,2,3\n".encode())
        assert "holds numbers" not in said(tab)
    assert "first line was taken for the names of the columns (a, b, c)" in said(tab)
    tab.open("detector")
    choose(tab, "rows.csv", b"0.5,0.1,DE,2024-01-02\n0.5,0.1,FR,2024-01-03\n")
    assert "first line holds numbers, and was taken for the names" in " ".join(tab.problems)
    choose(tab, "rows.csv", table(3).encode())
    assert "first line" not in said(tab)
    refused(tab)


def test_a_command_whose_file_is_missing_says_so(
    tab: Visit, models: Models, tmp_path: Path
) -> None:
    tab.open(models.points)
    tab.page.locator("#upload .request summary").click()
    choose(tab, "rows.npy", to_npy(np.zeros((2, 2), np.float32)))
    line = tab.page.locator("#upload .request code").inner_text()
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "rows.npy: No such file" in done.stderr
    assert done.stdout == ""


def test_the_charts_count_the_questions_of_the_page(tab: Visit, models: Models) -> None:
    tab.open(models.points)
    tab.page.locator("#live").scroll_into_view_if_needed()
    tab.page.wait_for_selector("#live .body > .hint:text('rows a second')")
    asked = "() => parseFloat(document.querySelector('#live .key strong').textContent) > 0"
    assert tab.page.locator("#live .key strong").first.inner_text() == "0 a second"
    tab.page.get_by_role("button", name="Draw new samples").click()
    tab.page.wait_for_function(asked)
    assert "readings of /metrics once a second do not" in tab.page.inner_text("#live > .hint")


def test_the_watch_is_explained(tab: Visit) -> None:
    tab.page.goto(f"{tab.base}/docs")
    block = tab.page.locator(".opblock", has_text="/models/{name}/watch").first
    assert "rows that a detector scores have changed" in block.inner_text()
    block.click()
    block.get_by_text("log_threshold").wait_for()
    tab.errors[:] = [each for each in tab.errors if "deep link whitespace" not in each]
