"""`bijecta inspect`: what it says of a table is so, and the recipe that it writes repeats it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from pydantic import TypeAdapter

from service.cli import main
from service.tables import Column, Overrides, decide
from tests.helpers.pages import ALL_BLOCKS, commands
from training.config import TableSource, load_recipe
from training.data import read_raw
from training.data.examples.payments import payment_lines
from training.errors import RecipeError

RNG = np.random.default_rng(0)

# inspects, then says whether torch was imported and how much processor time it took
COMMAND = """
import sys, time
from service.cli import main
code = main(["inspect", *sys.argv[1:]])
print("torch" in sys.modules, time.process_time())
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payments.csv").write_text("\n".join(payment_lines(400)) + "\n")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def save(path: Path, **columns: Any) -> str:
    cells = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in cells)]))
    return str(path)


def test_the_page_shows_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("payments.csv").write_text("\n".join(payment_lines()) + "\n")
    (block,) = [b for b in ALL_BLOCKS if b.page == "training/README.md" and "inspect" in b.text]
    for command, printed in commands(block):
        words = command.split()
        assert words[:2] == [".venv/bin/bijecta", "inspect"]
        assert said(capsys, *words[2:]).strip() == printed


def test_inspecting_20000_rows_needs_no_torch_and_two_seconds(tmp_path: Path) -> None:
    (tmp_path / "payments.csv").write_text("\n".join(payment_lines()))
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "payments.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    torch, seconds = done.stdout.split()[-2:]
    assert torch == "False"
    assert float(seconds) < 2


def test_each_column_has_a_line_with_its_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(said(capsys, "payments.csv", "--json"))
    table = pyarrow.csv.read_csv("payments.csv")
    assert found["rows"] == 400
    assert [column["name"] for column in found["columns"]] == table.column_names
    for column in found["columns"]:
        values = table[column["name"]].to_pylist()
        present = [value for value in values if value is not None]
        assert column["missing"] == len(values) - len(present)
        assert column["distinct"] == len(set(present))
        assert column["share"] == max(map(present.count, set(present))) / 400
        if column["column"] is not None:
            TypeAdapter(Column).validate_python(column["column"])
            assert column["column"]["kind"] == column["kind"]
        if column["kind"] == "lattice":
            assert [float(column["low"]), float(column["high"])] == [min(present), max(present)]
    left_out = {c["name"]: c["what"] for c in found["columns"] if c["column"] is None}
    assert left_out.keys() == {"id", "currency_code"}
    assert all(what.startswith("left out: ") for what in left_out.values())


def test_outliers_and_problems_are_warned_of_by_the_files_row(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far, price = RNG.normal(size=60), [f"{v:.3f}" for v in RNG.normal(size=60)]
    far[17], price[40] = 1e6, "abc"
    path = save(folder / "a.csv", far=far, price=price, x=RNG.normal(size=60))
    lines = Path(path).read_text().splitlines()
    Path(path).write_text("\n".join(["# measured today", *lines[:10], "", *lines[10:]]))
    text = said(capsys, path)
    assert re.search(r"'far' is 1000000.* in line 21, which makes 100 % of its variance", text)
    assert "column 'price', line 44: 'abc' is no number" in text
    assert re.search(r"price +- .*cannot be modelled, see below", text)
    assert "1 lines of comments stand before it" in text


def test_repeated_rows_and_those_that_would_straddle_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = RNG.normal(size=(300, 2))
    again = np.r_[x, x[:100]]
    path = save(folder / "a.csv", a=again[:, 0], b=again[:, 1], id=np.arange(400))
    text = said(capsys, path)
    repeated, rows, straddling, held_out = map(int, re.findall(r"(\d+)", text.splitlines()[-1])[:4])
    assert (repeated, rows, held_out) == (100, 400, 80)
    # of 80 rows that are held out half have a double, which is trained on in four of five cases
    assert 20 <= straddling <= 45
    save(folder / "a.csv", a=x[:, 0], b=x[:, 1])
    assert "repeat" not in said(capsys, path)


def test_what_was_guessed_about_the_file_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = RNG.normal(size=(60, 2)).round(4)
    german = [f"{a};{b}".replace(".", ",") for a, b in x]
    Path("a.csv").write_text("\n".join(["a;b", *german]))
    text = said(capsys, "a.csv")
    assert "separated by semicolons" in text
    assert "its decimal sign is the comma" in text
    Path("b.csv").write_text("\n".join(["0,1", *(f"{a},{b}" for a, b in x)]))
    assert "taken for names" in said(capsys, "b.csv")
    assert ": 61 rows" in said(capsys, "b.csv", "--header", "false")


def test_decimal_commas_among_markers_are_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [f"{a:.2f}".replace(".", ",") for a in RNG.normal(size=60)]
    cells[9] = "?"
    Path("a.csv").write_text(
        "\n".join(["a;b", *(f"{cell};{i % 7}" for i, cell in enumerate(cells))])
    )
    found = json.loads(said(capsys, "a.csv", "--json"))["columns"][0]
    assert (found["kind"], found["missing"], found["column"]["step"]) == ("lattice", 1, 0.01)


def test_a_type_that_shows_in_the_last_rows_alone_is_seen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [str(i % 50) for i in range(12_000)]
    numbers[-1] = "abc"
    long = "x" * 100
    Path("a.csv").write_text("\n".join(["a,b", *(f"{number},{long}" for number in numbers)]))
    assert Path("a.csv").stat().st_size > 2**20  # the first block, by which Arrow tells types
    assert "column 'a', line 12001: 'abc' is no number" in said(capsys, "a.csv")


@pytest.mark.parametrize("ending", ["parquet", "feather", "npz", "npy", "tsv"])
def test_every_format_of_tables_is_decided_alike(
    folder: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    table = pyarrow.csv.read_csv("payments.csv")
    numbers = table.select(["amount", "age", "fee", "currency_code"])
    rows = np.stack([numbers[name].to_numpy().astype(float) for name in numbers.column_names], 1)
    arguments, path = [], f"rows.{ending}"
    if ending == "npz":
        np.savez(path, train=rows, test=rows[:3], feature_names=np.array(numbers.column_names))
        arguments = ["--key", "train"]
    elif ending == "npy":
        np.save(path, rows)
    elif ending == "tsv":
        Path(path).write_text(Path("payments.csv").read_text().replace(",", "\t"))
    elif ending == "feather":
        pyarrow.feather.write_feather(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    whole = ending not in ("npz", "npy")
    expected = json.loads(said(capsys, "payments.csv", "--json"))["columns"]
    if not whole:
        expected = [c for c in expected if c["name"] in numbers.column_names]
    found = json.loads(said(capsys, path, *arguments, "--json"))["columns"]
    if ending == "npy":  # it has no names
        assert [c["name"] for c in found] == ["0", "1", "2", "3"]
        assert [c["kind"] for c in found] == [c["kind"] for c in expected]
    else:
        assert found == expected


def test_a_recipe_says_only_what_decide_would_not_find_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "payments.csv", "--recipe", "plain.toml")
    assert Path("plain.toml").read_text() == (
        '[data]\nsource = "payments.csv"\n\n[flow]\nfamily = "tabular"\n'
    )
    options = [
        "--drop",
        "age",
        "--keep",
        "id",
        "--kind",
        "fee=numeric",
        "--kind",
        "currency_code=lattice",
    ]
    (folder / "recipes").mkdir()
    found = json.loads(
        said(capsys, "payments.csv", *options, "--json", "--recipe", "recipes/mine.toml")
    )
    source = load_recipe("recipes/mine.toml").data
    assert isinstance(source, TableSource)
    assert (source.drop, source.keep) == (["age"], ["id"])
    again = decide(
        read_raw(Path(source.source), source), Overrides(source.keep, source.drop, source.kinds)
    )
    modelled = {c["name"]: c["column"] for c in found["columns"] if c["column"] is not None}
    assert modelled == {c.name: c.model_dump() for c in again.columns}
    assert modelled["fee"]["kind"] == "numeric"


def test_a_recipe_pins_what_could_be_otherwise_and_drops_what_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [f"{1 + i % 12:02d}/{1 + i % 2:02d}/2026" for i in range(60)]
    price = [f"{v:.3f}" for v in RNG.normal(size=60)]
    price[40] = "abc"
    path = save(folder / "a.csv", **{'d a"y': days, "price": price, "x": RNG.normal(size=60)})
    Path(path).write_text(Path(path).read_text().replace('d a"y', '"d a""y"'))
    text = said(capsys, path, "--recipe", "mine.toml")
    assert "which could be %m/%d/%Y" in text
    source = load_recipe("mine.toml").data
    assert isinstance(source, TableSource)
    assert source.kinds == {'d a"y': "datetime %d/%m/%Y"}
    assert source.drop == ["price"]
    assert "# column 'price', line 42: 'abc'" in Path("mine.toml").read_text()
    again = decide(
        read_raw(Path(source.source), source), Overrides(source.keep, source.drop, source.kinds)
    )
    assert not again.problems
    assert not again.notes


def test_what_cannot_be_inspected_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no data file at nowhere.csv" in refused(capsys, "nowhere.csv")
    assert "drop names 'x': the columns are 'id'" in refused(capsys, "payments.csv", "--drop", "x")
    assert "--kind age: expected COLUMN=KIND" in refused(capsys, "payments.csv", "--kind", "age")
    assert "expected one of numeric" in refused(capsys, "payments.csv", "--kind", "age=ordinal")
    assert "key is a key of sources" in refused(capsys, "payments.csv", "--key", "x")
    Path("pictures").mkdir()
    assert "of kind images: expected a table" in refused(capsys, "pictures")
    np.save("images.npy", np.zeros((9, 3, 4)))
    assert "expected rows of columns" in refused(capsys, "images.npy")
    np.savez("two.npz", a=np.zeros((9, 2)), b=np.zeros((9, 2)))
    assert "or --key of inspect: ['a', 'b']" in refused(capsys, "two.npz")
    lists = pa.table({"a": pa.array([[1], [2, 3]])})
    pyarrow.parquet.write_table(lists, "lists.parquet")
    assert "column 'a' is of list<" in refused(capsys, "lists.parquet")
    Path("empty.csv").write_text("a,b\n")
    assert "0 rows of 2 columns" in refused(capsys, "empty.csv")


def test_kinds_are_keys_of_the_family_that_has_them(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[data]\nsource = "a.csv"\nkinds = {a = "lattice"}\n[flow]\nfamily = "maf"\n')
    with pytest.raises(RecipeError, match="are for columns of any kind"):
        load_recipe(str(recipe))
