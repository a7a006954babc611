"""A run that was killed goes on where it was, and comes to the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service import bundle
from service.bulk import journal
from service.bulk.inputs import Inputs, Part, Span
from tests.service.bulk.conftest import Score, read, write

pytestmark = pytest.mark.usefixtures("small_pieces")

ENDINGS = (".parquet", ".csv", ".ndjson", ".arrow", ".arrows")


class KilledError(BaseException):
    """The end of a process."""


def table(rows: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    a[rows // 3] = np.nan
    return pa.table({"id": [f"{seed}-{i}" for i in range(rows)], "a": a, "b": b})


def die_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process end, as far as a run knows, when it has kept so many parts."""
    whole = journal.Journal.add

    def add(self: journal.Journal, *arguments: Any) -> None:
        if self._parts == parts:
            raise KilledError
        whole(self, *arguments)

    monkeypatch.setattr(journal.Journal, "add", add)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_run_comes_to_the_same_file(
    ending: str, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / f"{i}{ending}", table(35, i)) for i in range(2)]
    out = tmp_path / f"out{ending}"
    arguments = ("tiny", *files, "--keep", "id", "--out", out, "--on-error", "skip", "--quiet")
    assert score(*arguments) == 3
    whole, skipped = out.read_bytes(), Path(f"{out}.skipped.ndjson").read_bytes()
    assert [(row["file"], row["row"]) for row in read(out)] == [
        (str(file), i) for file in files for i in range(35) if i != 35 // 3
    ]
    out.unlink()
    read_again: list[int] = []
    parts = Inputs.parts

    def counted(self: Inputs, file: int, place: dict[str, int]) -> Iterator[Any]:
        for part in parts(self, file, place):
            read_again.append(0 if part is None else len(part.piece.numbers))
            yield part

    monkeypatch.setattr(Inputs, "parts", counted)
    for dies_after in (1, 3, 6):
        with monkeypatch.context() as patch:
            die_after(dies_after, patch)
            with pytest.raises(KilledError):
                score(*arguments)
        assert not out.exists()
    read_again.clear()
    assert score(*arguments) == 3
    assert 0 < sum(read_again) <= 35  # the first file is not read again
    assert out.read_bytes() == whole
    assert Path(f"{out}.skipped.ndjson").read_bytes() == skipped
    assert not Path(f"{out}.unfinished").exists()


@pytest.mark.parametrize("name", ["write_tables", "write_whole"])
def test_a_run_that_was_killed_at_its_end_ends_again(
    name: str, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write(tmp_path / "in.parquet", table(35, 0)), tmp_path / "out.csv"
    arguments = ("tiny", source, "--keep", "id", "--out", out, "--on-error", "skip", "--quiet")

    def dies(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(f"service.bulk.pipeline.{name}", dies)
        with pytest.raises(KilledError):
            score(*arguments)
    assert score(*arguments) == 3
    assert len(read(out)) == 34


def test_an_unfinished_run_goes_on_as_it_began_or_not_at_all(
    score: Score,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = write(tmp_path / "in.parquet", table(35, 0)), tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        die_after(3, patch)
        with pytest.raises(KilledError):
            score("tiny", source, "--out", out, "--on-error", "skip", "--keep", "id", "--quiet")
    assert score("tiny", source, "--out", out, "--on-error", "skip") == 1
    assert "is of a run with other keep: --restart throws its work away" in capsys.readouterr().err
    # what was skipped before is no less of an error than what is skipped now
    assert score("tiny", source, "--out", out, "--keep", "id") == 1
    assert f"{source}, row 11, column 'a'" in capsys.readouterr().err
    os.utime(source, (1, 1))
    assert score("tiny", source, "--out", out, "--keep", "id", "--on-error", "skip") == 1
    assert "other inputs" in capsys.readouterr().err
    assert (
        score("tiny", source, "--out", out, "--keep", "id", "--on-error", "skip", "--restart") == 3
    )
    assert len(read(out)) == 34


def test_two_processes_are_not_at_one_run(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "in.parquet", table(5, 0)), tmp_path / "out.csv"
    other = journal.Journal(tmp_path / "out.csv.unfinished", {}, restart=False)
    assert score("tiny", source, "--out", out) == 1
    assert "another process is at this run" in capsys.readouterr().err
    other.close()


def test_spans_of_files_are_all_of_their_rows(bundles: Path, tmp_path: Path) -> None:
    """As Ray reads them, also from a place on."""
    files = [write(tmp_path / "0.parquet", table(35, 0), row_group_size=12)]
    files += [
        write(tmp_path / f"{i}{ending}", table(35, i)) for i, ending in enumerate(ENDINGS[1:])
    ]
    manifest = bundle.read(bundles / "tiny" / "1")
    inputs = Inputs(list(map(str, files)), None, manifest, ["id"])

    def rows(parts: Iterable[Part | None]) -> list[tuple[int, Any, dict[str, int]]]:
        return [(p.number, p.piece.kept["id"].to_pylist(), p.piece.after) for p in parts if p]

    whole = rows(inputs.parts(0, {}))
    assert sum(len(ids) for _, ids, _ in whole) == 35 * len(files) - 1  # NaN is no JSON
    for i in range(len(whole) - 1):
        number, _, place = whole[i]
        spans = [span for span in inputs.spans(number, place) if isinstance(span, Span)]
        assert len(spans) > len(files) - number or number > 0 or place["block"] == 2
        assert [row for s in spans for row in rows(inputs.parts_of(s))] == whole[i + 1 :]


@pytest.mark.long
def test_kill_9_and_the_same_command(bundles: Path, tmp_path: Path) -> None:
    rows = 1_000_000
    rng = np.random.default_rng(0)
    ab = rng.normal(size=(2, rows)).astype(np.float32)
    content = pa.table({"id": np.arange(rows), "a": ab[0], "b": ab[1]})
    source = write(tmp_path / "in.parquet", content)

    def command(out: Path) -> list[str]:
        score = [sys.executable, "-m", "service.cli", "score", bundles / "tiny", source]
        return [*map(str, [*score, "--keep", "id", "--out", out]), "--device", "cpu", "--quiet"]

    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    subprocess.run(command(whole), check=True)
    kills = 0
    for parts in (2, 5, 9):
        process = subprocess.Popen(command(out))
        while (
            process.poll() is None and not (Path(f"{out}.unfinished") / f"{parts}.arrow").exists()
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills
    subprocess.run(command(out), check=True)
    assert out.read_bytes() == whole.read_bytes()
