"""Files of rows are scored as the server scores them, and what is wrong with them is said."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import Models
from tests.helpers.http import to_npy
from tests.helpers.servers import Serve
from tests.helpers.visits import Visit, server

CSV = {"Content-Type": "text/csv", "Accept": "application/json"}
HISTOGRAM = "#upload .chart"
NAMES = ("amount", "count", "country", "seen")

# How many pixels of a drawing have a colour of the style sheet.
DRAWN = """
(selector) => {
  const canvas = document.querySelector(selector);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = { accent: 0, mark: 0 };
  const style = getComputedStyle(document.documentElement);
  for (const name of Object.keys(counts)) {
    const colour = style.getPropertyValue(`--${name}`).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    for (let i = 0; i < data.length; i += 4) {
      if (wanted.every((value, k) => data[i + k] === value)) counts[name]++;
    }
  }
  return counts;
}
"""


def table(rows: int) -> str:
    """Rows of the detector's columns, as CSV."""
    random = np.random.default_rng(0)
    lines = [
        f"{amount:.4f},{count / 10},{country},2024-{month:02d}-{day:02d}"
        for amount, count, country, month, day in zip(
            random.normal(size=rows),
            random.integers(0, 4, rows),
            random.choice(["DE", "FR", ""], rows),
            random.integers(1, 3, rows),
            random.integers(1, 28, rows),
            strict=True,
        )
    ]
    return "\n".join([",".join(NAMES), *lines]) + "\n"


def choose(tab: Visit, name: str, content: bytes) -> None:
    """Choose a file, and wait until it is scored or refused."""
    tab.upload(name, content)
    tab.page.wait_for_selector("#upload .problem:visible, #upload button:text('Download'):visible")


def said(tab: Visit) -> str:
    return tab.page.locator("#upload [role=status]").first.inner_text()


def downloaded(tab: Visit) -> list[list[str]]:
    """The cells of the scored file."""
    with tab.page.expect_download() as download:
        tab.page.click("#upload button:text('Download')")
    text = Path(download.value.path()).read_text()
    return [line.split(",") for line in text.splitlines()]


def test_scores_of_a_table_are_the_servers(tab: Visit, address: str) -> None:
    content = table(3000)
    tab.open("detector")
    choose(tab, "rows.csv", content.encode())
    answer = server.post(f"{address}/score?model=detector", content=content, headers=CSV).json()
    p = np.array(answer["p_value"])
    beyond = int((p <= 0.05).sum())
    assert 0 < beyond < 3000
    assert "3,000 rows" in said(tab)
    assert f"{beyond:,} rows" in said(tab)
    label = tab.page.locator(HISTOGRAM).get_attribute("aria-label")
    assert label is not None
    assert f"{beyond} rows are beyond the level 0.05" in label
    first, *rows = downloaded(tab)
    assert first == [*NAMES, "score", "p_value", "anomaly", "log_prob"]
    assert [",".join(row[:4]) for row in rows] == content.splitlines()[1:]
    assert np.allclose([float(row[4]) for row in rows], answer["score"])
    assert np.allclose([float(row[5]) for row in rows], p)
    assert [row[6] == "true" for row in rows] == [each <= 0.05 for each in p]
    # of the rows beyond, the most unusual ones are shown first
    shown = tab.page.locator("#upload tbody tr").all()
    numbers = [int(each.locator("th").inner_text().replace(",", "")) - 1 for each in shown]
    assert len(numbers) == min(100, beyond)
    assert p[numbers[0]] == p.min()
    assert (
        shown[0].locator("td").last.inner_text()
        == content.splitlines()[1 + numbers[0]].split(",")[3]
    )


def test_the_level_and_the_histogram_follow_their_controls(tab: Visit) -> None:
    tab.open("detector")
    choose(tab, "rows.csv", table(500).encode())
    label = tab.page.locator(HISTOGRAM)
    few = label.get_attribute("aria-label")
    level = tab.page.get_by_label("Level α")
    level.fill("0.5")
    level.press("Tab")
    tab.page.wait_for_function(
        "(few) => document.querySelector('#upload .chart').ariaLabel !== few", arg=few
    )
    more = label.get_attribute("aria-label")
    assert more is not None
    assert "level 0.5" in more
    tab.page.get_by_label("Histogram of", exact=True).select_option("tail")
    tab.page.wait_for_function(
        "() => document.querySelector('#upload .chart').ariaLabel.includes('p-value')"
    )
    assert "upload.alpha=0.5" in tab.page.evaluate(
        "new Promise((done) => setTimeout(() => done(location.hash), 500))"
    )
    drawn: dict[str, int] = tab.page.evaluate(DRAWN, "#upload canvas")
    assert min(drawn.values()) > 500  # of rows within and beyond


def test_the_bars_are_read_by_keys_and_count_every_row(tab: Visit) -> None:
    tab.open("detector")
    choose(tab, "rows.csv", table(500).encode())
    chart = tab.page.locator(HISTOGRAM)
    chart.press("Home")
    rows = beyond = bars = 0
    while True:
        said = chart.get_attribute("aria-valuetext")
        assert said is not None
        assert tab.page.locator("#upload figure .hint").inner_text() == said
        counted = re.fullmatch(r".+: (\d+) rows?, (\d+) of them beyond the level.", said)
        assert counted is not None, said
        rows, beyond, bars = rows + int(counted[1]), beyond + int(counted[2]), bars + 1
        if chart.get_attribute("aria-valuenow") == chart.get_attribute("aria-valuemax"):
            break
        chart.press("ArrowRight")
    assert (rows, bars) == (500, 48)
    label = chart.get_attribute("aria-label")
    assert label is not None
    assert f"; {beyond} rows are beyond" in label
    tab.page.keyboard.press("Tab")
    assert "Point at a bar" in tab.page.locator("#upload figure .hint").inner_text()


def test_rows_with_what_the_data_had_not_are_marked(tab: Visit) -> None:
    tab.open("detector")
    names = "amount,count,country,seen,currency"
    usual = "0.5,0.1,DE,2024-01-02,EUR"
    rows = [usual, usual, "9,0.1,DE,2024-01-02,EUR", "0.5,0.1,DE,2024-01-02,USD", usual]
    choose(tab, "rows.csv", "\n".join([names, *rows]).encode())
    assert 'Column currency is "USD" in row 4, and "EUR" in all' in said(tab)
    place = tab.page.locator("#upload thead th").all_inner_texts().index("outside the data")
    remarks = {
        row.locator("th").inner_text(): row.locator("td").nth(place - 1).inner_text()
        for row in tab.page.locator("#upload tbody tr").all()
    }
    assert remarks == {"3": "amount: data -3 to 3", "4": "currency: not in the data"}
    marked = tab.page.locator("#upload tbody td.outside").all_inner_texts()
    assert {"9", "USD"} <= {*marked}
    choose(tab, "rows.csv", table(100).encode())
    assert tab.page.locator("#upload tbody td.outside").count() == 0


AS_PEOPLE_HAVE_IT = {
    "semicolons.csv": "sep=;\namount;count;country;seen\n0.5;0.1;DE;2024-01-02\n",
    "mark.csv": "\ufeffamount,count,country,seen\r\n0.5,0.1,DE,2024-01-02\r\n",
    "remarks.csv": "# of today\n\namount,count,country,seen\n0.5,0.1,DE,2024-01-02\n\n",
    "numpy.csv": "# amount,count,country,seen\n0.5,0.1,DE,2024-01-02\n",
    "quotes.csv": '"amount","seen","count","country"\n0.5,"2024-01-02",0.1,"DE"',
    "lines.csv": 'amount,count,country,seen\n0.5,0.1,"D\nE",2024-01-02\n',
}


def test_csv_as_people_have_it(tab: Visit) -> None:
    tab.open("detector")
    for name, content in AS_PEOPLE_HAVE_IT.items():
        choose(tab, name, content.encode())
        assert tab.problems == [], name
        assert said(tab).startswith("1 row in"), name
        assert len(downloaded(tab)) >= 2, name


def test_rows_are_cut_into_pieces_that_the_server_takes(
    open_tab: Callable[..., Visit], few: Path, serve: Serve
) -> None:
    served = serve("--store", few, "--max-rows", "100")
    tab = open_tab(str(served.client.base_url).rstrip("/"))
    tab.open("detector")
    # one request of 256 rows is refused, and cut
    choose(tab, "rows.csv", table(1000).encode())
    served.end()
    tab.errors[:] = [each for each in tab.errors if "413" not in each]
    assert tab.problems == []
    assert "1,000 rows" in said(tab)


def test_arrays_and_parquet(tab: Visit, address: str, models: Models) -> None:
    x = np.random.default_rng(1).normal(size=(700, 2)).astype(np.float32)
    answer = server.post(
        f"{address}/log_prob", json={"model": models.points, "x": x.tolist()}
    ).json()
    file = io.BytesIO()
    np.save(file, x)
    tab.open(models.points)
    choose(tab, "rows.npy", file.getvalue())
    first, *rows = downloaded(tab)
    assert first == ["row", "log_prob", "quantile"]
    assert np.allclose([float(row[1]) for row in rows], answer["log_prob"], atol=1e-4)
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x0": x[:, 0], "x1": x[:, 1]}), sink)
    choose(tab, "rows.parquet", sink.getvalue().to_pybytes())
    tab.page.wait_for_function("() => document.querySelector('#upload .request code') !== null")
    _, *rows = downloaded(tab)
    assert np.allclose([float(row[1]) for row in rows], answer["log_prob"], atol=1e-4)


WRONG: list[tuple[str, bytes, str]] = [
    ("letter.txt", b"Dear all,\nthere is no table in here.\n", "row 1, line 2"),
    ("cat.csv", b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture"),
    ("rows.xlsx", b"PK\x03\x04" + bytes(99), "zip archive"),
    ("empty.csv", b"", "is empty"),
    ("names.csv", b"amount,count,country,seen\n", "has no rows"),
    ("other.csv", b"price,count,country,seen\n1,0.1,DE,2024-01-02\n", "price"),
    ("wide.csv", b"amount,count,country,seen\n1,0.1,DE\n", "expected 4 cells"),
    ("latin.csv", "amount,count,country,seen\n1,0.1,é,2024-01-02\n".encode("latin-1"), "UTF-8"),
    ("lines.csv", b"1" * (2**21), "is no CSV"),
    ("nine.npy", to_npy(np.zeros((3, 9))), "expected N × 4 numbers, got shape (3, 9)"),
    ("half.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", "npy"),
]


def test_a_wrong_file_is_answered_with_what_is_wrong(tab: Visit, address: str) -> None:
    tab.open("detector")
    for name, content, expected in WRONG:
        choose(tab, name, content)
        problem = " ".join(tab.problems)
        assert expected in problem, name
        assert name in problem
    # a browser says of every refusal that it was one
    tab.errors[:] = [each for each in tab.errors if "Failed to load resource" not in each]
    assert server.get(f"{address}/health/ready").status_code == 200
    choose(tab, "rows.csv", table(10).encode())
    assert tab.problems == []
    assert "10 rows" in said(tab)


def test_rows_that_have_no_answer_are_counted(tab: Visit, models: Models) -> None:
    x = np.zeros((300, 2), np.float32)
    x[270] = np.nan
    x[280, 0] = np.inf
    file = io.BytesIO()
    np.save(file, x)
    tab.open(models.points)
    choose(tab, "rows.npy", file.getvalue())
    assert tab.problems == []
    warning = tab.page.inner_text("#upload .warning:visible")
    assert warning.startswith("Skipped: 2 of 300 rows, without an answer: row 271: ")
    assert warning.count(" holds no finite float32 number") == 2
    content = "\n".join(["x,y", *["0,0"] * 300, ",0", "0,inf", "much,0", "0,1"]).encode()
    choose(tab, "rows.csv", content)
    assert tab.problems == []
    warning = tab.page.inner_text("#upload .warning:visible")
    assert warning.startswith("Skipped: 3 of 304 rows, without an answer: row 301, line 302: ")
    tab.open("detector")
    rows = "amount,count,country,seen\n1,0.1,DE,2024-01-02\nmuch,0.1,DE,2024-01-02\n"
    choose(tab, "words.csv", rows.encode())
    warning = tab.page.inner_text("#upload .warning:visible")
    assert warning.startswith("Skipped: 1 of 2 rows, without an answer: row 2, line 3: column 'amo")
    assert "'much'" in warning
    choose(tab, "rows.csv", table(10).encode())
    assert tab.page.locator("#upload .warning:visible").count() == 0


def test_a_file_that_is_too_large_is_not_read(tab: Visit) -> None:
    tab.open("detector")
    asked: list[Any] = []
    tab.page.on("request", lambda request: asked.append(request))
    # 2 GB that are nowhere: a file is a list of pieces, here the same one again and again
    tab.page.evaluate(
        """() => {
          const piece = new Blob([new Uint8Array(2 ** 20)]);
          const file = new File(new Array(2048).fill(piece), "huge.csv");
          const files = new DataTransfer();
          files.items.add(file);
          const input = document.querySelector("#upload input[type=file]");
          input.files = files.files;
          input.dispatchEvent(new Event("change"));
        }"""
    )
    tab.page.wait_for_selector("#upload .problem:visible")
    (problem,) = tab.problems
    assert "2 GiB" in problem
    assert "bijecta score" in problem
    assert [each for each in asked if each.method == "POST"] == []


@pytest.mark.parametrize("kind", ["points", "images", "table", "conditional", "sounds"])
def test_samples_that_are_downloaded_are_scored_as_they_were_drawn(
    tab: Visit, address: str, models: Models, kind: str
) -> None:
    model = getattr(models, kind)
    tab.open(model, **{"samples.n": 20, "samples.seed": 7, "samples.temperature": 0.8})
    with tab.page.expect_download() as download:
        tab.page.click("#samples button:text('Download samples (CSV)')")
    assert download.value.suggested_filename == f"{model}-samples-seed-7.csv"
    content = Path(download.value.path()).read_bytes()
    asked: dict[str, Any] = {"model": model, "n": 20, "seed": 7, "temperature": 0.8}
    context = server.get(f"{address}/models/{model}").json()["context"]
    if context is not None:  # what the page begins with
        entry = tab.page.locator("#context").get_by_label
        asked["context"] = [
            [
                each["classes"][0]
                if each.get("classes")
                else float(entry(each["name"], exact=True).input_value())
                for each in context
            ]
        ]
    drawn = server.post(f"{address}/sample", json=asked).json()
    choose(tab, "samples.csv", content)
    assert tab.problems == []
    _, *rows = downloaded(tab)
    header = content.decode().splitlines()[0].split(",")
    scores = [float(row[len(header)]) for row in rows]
    assert scores == pytest.approx(drawn["log_prob"], rel=1e-3, abs=1e-3)


def test_a_copy_of_the_table_of_samples_is_read_as_numbers(tab: Visit, models: Models) -> None:
    tab.open(models.table, **{"samples.n": 100, "samples.temperature": 2})
    assert "−" not in tab.page.inner_text("#panels")
    names = tab.page.locator("#samples thead th").all_inner_texts()[1:]
    cells = tab.page.locator("#samples tbody td").all_inner_texts()
    lines = [",".join(cells[i : i + len(names)]) for i in range(0, len(cells), len(names))]
    choose(tab, "copied.csv", "\n".join([",".join(names), *lines]).encode())
    assert "100 rows in" in said(tab)
    assert tab.page.locator("#upload .warning:visible").count() == 0


def test_a_minus_sign_of_print_in_a_file_is_refused_by_name(tab: Visit, models: Models) -> None:
    why = "a minus sign of print (−), not the one of keyboards (-)"
    tab.open("detector")
    choose(tab, "print.csv", f"{table(3)}−1,0.1,DE,2024-01-02\n".encode())
    assert why in tab.page.inner_text("#upload .warning:visible")
    tab.open(models.points)
    choose(tab, "print.csv", "x0,x1\n−1,0.1\n".encode())
    assert why in tab.page.inner_text("#upload .warning:visible")
    assert tab.problems == []
    tab.errors[:] = [each for each in tab.errors if "Failed to load resource" not in each]


def test_all_rows_of_the_page_are_counted_from_one(tab: Visit, models: Models) -> None:
    tab.open(models.table)
    assert tab.page.locator("#samples tbody th").first.inner_text() == "1"
    assert tab.page.inner_text("#upload > .hint").endswith("Rows are counted from 1.")
    tab.open(models.points, **{"upload.alpha": 1})
    rows = np.zeros((3, 2), np.float32)
    choose(tab, "rows.npy", to_npy(rows))
    assert tab.page.locator("#upload tbody th").all_inner_texts() == ["1", "2", "3"]
    assert "the column row counts from 0" in said(tab)
    assert [row[0] for row in downloaded(tab)] == ["row", "0", "1", "2"]
