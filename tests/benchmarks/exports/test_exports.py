"""What the benchmark of exports keeps, says and holds to bars."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.common.checkout import ROOT
from tests.benchmarks.exports import process
from tests.benchmarks.exports.__main__ import BESIDE_BUSY
from tests.benchmarks.exports.bench import Side
from tests.benchmarks.exports.page import page
from tests.benchmarks.exports.process import Cost
from tests.benchmarks.exports.recipes import SETS, STEEP, Entry, entries
from tests.benchmarks.exports.rows import (
    AFTER,
    BASE,
    BESIDE,
    OURS,
    WITHOUT,
    Busy,
    Measured,
    Row,
    bars,
)

COST = Cost(wall=60.0, cpu=90.0, peak=10**9, others=0.0)
ROW = Row("mnist-glow", AFTER, OURS, "code", "commit", COST, "mixed")
BUSY = Busy("mnist-maf", "code", "commit", (10.0, 10.0, 10.0), (11.0, 14.0, 30.0))


def missed(*rows: Row, busy: tuple[Busy, ...] = (), not_made: tuple[str, ...] = ()) -> list[str]:
    return [bar.what for bar in bars(rows, busy, not_made) if not bar.held]


def test_every_recipe_has_its_teacher_and_a_known_data_set() -> None:
    every = entries()
    assert {*STEEP, *BESIDE_BUSY} <= every.keys()
    assert {each.data_set for each in every.values()} == {None, *SETS}
    for entry in every.values():
        if entry.name.endswith("-student"):
            assert entry.teacher is not None
            assert every[entry.teacher].data_set == entry.data_set
        else:
            assert entry.teacher is None
    assert every["fashion-mnist-nsf"].data_set == "fashion-mnist"


def test_a_student_that_does_not_say_whose_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fsdd-student.toml"
    path.write_text("[distill]\nrows = 1\n")
    with pytest.raises(ValueError, match="says how it is distilled"):
        Entry.of(path)


def test_data_that_is_absent_is_named(tmp_path: Path) -> None:
    entry = entries()["cifar10-glow"]
    assert "cifar10" in str(entry.lacks(tmp_path))
    (tmp_path / "cifar10").mkdir()
    assert entry.lacks(tmp_path)
    (tmp_path / "cifar10" / "train.npy").touch()
    assert entry.lacks(tmp_path) is None
    assert entries()["moons-maf"].lacks(tmp_path) is None


def test_what_was_measured_is_kept_until_the_code_changes_or_it_is_forgotten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "measured.json"
    measured = Measured(path)
    for each in (ROW, replace(ROW, state=WITHOUT), replace(ROW, side=BASE), BUSY):
        measured.add(each)
    again = Measured(path)
    assert again.rows == measured.rows
    assert ROW in again.rows
    assert again.busy == [BUSY]
    assert again.has(ROW.key, "code")
    assert not again.has(ROW.key, "other code")
    assert not again.has(("mnist-maf", AFTER, OURS), "code")
    again.forget([ROW.recipe, BUSY.recipe], [AFTER, BESIDE])
    assert [row.state for row in again.rows] == [WITHOUT]
    assert not again.busy


def test_bars_are_those_of_the_smaller_one_of_time_and_cpu_time() -> None:
    assert not missed(ROW)
    busy_machine = replace(ROW, cost=replace(COST, wall=500.0))
    assert not missed(busy_machine)
    late = replace(ROW, cost=replace(COST, wall=121.0, cpu=200.0))
    assert missed(late) == ["mnist-glow, after train: seconds"]
    assert not missed(replace(late, state=WITHOUT))
    assert not missed(replace(late, side=BASE))
    assert missed(replace(ROW, cost=replace(COST, peak=4 * 10**9 + 1)))


def test_bars_name_what_failed_and_weights_that_are_too_easy() -> None:
    failed = replace(ROW, arithmetic=None, failed="ended after 900 s")
    assert missed(failed) == ["recipes that fail (mnist-glow)"]
    assert missed(ROW, not_made=("fsdd-wavenet",)) == ["recipes that fail (fsdd-wavenet)"]
    easy = replace(ROW, arithmetic="float32")
    assert missed(easy) == ["recipes whose weights are too easy (mnist-glow)"]
    assert not missed(replace(easy, recipe="moons-maf"))


def test_beside_a_busy_process_the_median_counts() -> None:
    assert not missed(busy=(BUSY,))
    assert missed(busy=(replace(BUSY, beside=(11.0, 16.0, 30.0)),))


def test_the_page_shows_what_is_beyond_a_bar_and_the_base_beside() -> None:
    late = replace(ROW, cost=Cost(wall=150.0, cpu=130.0, peak=5 * 10**9, others=1.5))
    base = replace(ROW, side=BASE, commit="old", cost=replace(COST, cpu=260.0))
    text = page([late, base], [BUSY], {"fsdd-wavenet": "no fsdd in data"}, "a CPU")
    (line,) = (line for line in text.splitlines() if line.startswith("| mnist-glow"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:5] == ["mixed", "**150**", "**130**", "**5.00**"]
    assert cells[-2:] == ["old", "0.50"]
    assert "did other work meanwhile, on up to 1.5 CPUs" in text
    assert "- fsdd-wavenet: no fsdd in data" in text
    assert "1.40 (1.10 to 3.00)" in text


def test_a_process_is_measured(tmp_path: Path) -> None:
    log = tmp_path / "log"
    work = "import sys; b = b'x' * 2 * 10**8; print(sum(range(10**6))); sys.exit(3)"
    code, cost = process.run([sys.executable, "-c", work], tmp_path, {}, log, 60)
    assert code == 3
    assert log.read_text() == "499999500000\n"
    assert cost.peak > 2 * 10**8
    assert 0 < cost.cpu < 5
    assert cost.wall > 0


@pytest.mark.long
def test_a_process_is_ended_at_its_limit(tmp_path: Path) -> None:
    work = "while True: pass"
    code, cost = process.run([sys.executable, "-c", work], tmp_path, {}, tmp_path / "log", 1)
    assert code == -9
    assert 0.9 < cost.cpu < 3


def test_an_export_accepts_what_its_checkout_can(tmp_path: Path) -> None:
    command = Side(OURS, ROOT).export(Path("run"), Path("store"))
    assert command[-1] == "--accept-residual"
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "cli.py").touch()
    old = Side(BASE, tmp_path)
    assert old.export(Path("run"), Path("store"))[-1] == "store"
    assert not old.keeps
