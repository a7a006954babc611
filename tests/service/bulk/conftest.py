"""Bundles whose scores are known, and the command that scores files by them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from service.bulk import inputs
from service.cli import main
from service.store_folder import set_alias
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle

Score = Callable[..., int]


@pytest.fixture(scope="session")
def bundles(made_once: Callable[..., Path]) -> Path:
    """A store of `tiny`, whose log_prob is the sum of a row, of `typed`, and of a conditional."""

    def make(folder: Path) -> None:
        write_tiny_bundle(folder, "tiny")
        write_typed_bundle(folder)
        write_typed_bundle(folder, "conditional", context=True)
        set_alias(folder, "typed", "stable", 1)

    return made_once("bulk-store", make)


@pytest.fixture
def score(bundles: Path) -> Score:
    """`bijecta score` by a bundle of the store: its exit code."""

    def run(model: str, *arguments: str | Path) -> int:
        return main(["score", str(bundles / model), *map(str, arguments), "--device", "cpu"])

    return run


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of ten rows."""
    monkeypatch.setattr(inputs, "PIECE_ROWS", 10)


def write(path: Path, table: Any, **options: Any) -> Path:
    """Write a table in the format of an ending."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, **options)
    elif path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    elif path.suffix == ".ndjson":
        lines = [json.dumps(row, default=str) for row in table.to_pylist()]
        path.write_text("".join(f"{line}\n" for line in lines))
    else:
        new = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in the format of its ending."""
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    elif path.suffix == ".csv":
        table = pa.csv.read_csv(path)
    elif path.suffix == ".arrow":
        table = pa.ipc.open_file(path).read_all()
    else:
        table = pa.ipc.open_stream(path).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
