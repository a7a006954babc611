"""A server gives files the scores that its bundles give them."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from service.bulk.scorers import server
from service.cli import main
from service.http.app import create_app
from tests.helpers.api_keys import add_key
from tests.helpers.asgi import behind_uvicorn, make_server
from tests.helpers.servers import Serve
from tests.helpers.waiting import wait_until
from tests.service.bulk.conftest import Score, read, write
from tests.service.bulk.test_formats import ROWS, TABLE

pytestmark = pytest.mark.usefixtures("small_pieces")


@pytest.fixture(scope="module")
def url(bundles: Path, serve: Serve) -> str:
    """Of a server that takes seven rows a request."""
    options = ("--max-rows", "7", "--default-model", "typed@stable")
    return str(serve("--store", bundles, *options).client.base_url)


def asked(url: str, model: str, *arguments: str | Path) -> int:
    named = ["--model", model] if model else []
    return main(["score", url, *map(str, arguments), *named])


@pytest.mark.parametrize("model", ["typed", "conditional", "tiny", "typed@stable", ""])
def test_a_server_answers_as_the_bundle_does(
    model: str, url: str, score: Score, tmp_path: Path
) -> None:
    content = TABLE.append_column("mean", pa.array(np.linspace(-1, 1, ROWS)))
    if model == "tiny":
        values = [0.5, np.inf, None, *range(20)]
        content = pa.table({"id": list("abcdefghijklmnopqrstuvw"), "a": values, "b": values})
    source = write(tmp_path / "in.parquet", content)
    codes = 3 if model == "tiny" else 0
    outs = [tmp_path / "bundle.csv", tmp_path / "server.csv"]
    arguments = (source, "--keep", "id", "--on-error", "skip", "--quiet", "--out")
    assert score(model or "typed", *arguments, outs[0]) == codes
    assert asked(url, model, *arguments, outs[1]) == codes
    assert len(read(outs[1])) == (21 if model == "tiny" else ROWS)
    assert outs[1].read_bytes() == outs[0].read_bytes()
    if codes:
        reports = [Path(f"{out}.skipped.ndjson").read_text() for out in outs]
        assert reports[1] == reports[0]


def test_outside_the_support_is_said_by_a_server_too(url: str, tmp_path: Path) -> None:
    codes = pa.FixedSizeListArray.from_arrays(pa.array([0.0, 0.3, 9, 1704067200]), 4)
    source = write(tmp_path / "in.parquet", pa.table({"x": codes}))
    assert asked(url, "typed", source, "--out", tmp_path / "out.parquet") == 0
    assert read(tmp_path / "out.parquet") == [{"row": 0, "log_prob": -np.inf}]


def test_a_server_with_keys_is_asked_with_that_of_the_variable(
    bundles: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = add_key(tmp_path / "keys.json", models=["tiny"])
    source = write(tmp_path / "in.parquet", pa.table({"a": [0.0, 1.0], "b": [0.0, 1.0]}))
    running = make_server(bundles, keys=tmp_path / "keys.json")
    with behind_uvicorn(create_app(running)) as port:
        wait_until(lambda: running.ready)
        address, out = f"http://127.0.0.1:{port}", tmp_path / "out.csv"
        for given, words in (("", "401|a key"), (key[:-1], "not known here")):
            monkeypatch.setenv("BIJECTA_API_KEY", given)
            assert asked(address, "tiny", source, "--out", out) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert re.search(words, line)
            assert not given or given not in line
        monkeypatch.setenv("BIJECTA_API_KEY", key)
        assert asked(address, "tiny", source, "--out", out) == 0
        assert len(read(out)) == 2
        assert key not in capsys.readouterr().err
    assert not any(key.encode() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_server_that_cannot_be_asked_is_named(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RETRIES", 0)
    arguments = (tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    for address, model, words in (
        (url, "none", "none"),
        ("http://127.0.0.1:9", "tiny", "http://127.0.0.1:9: "),
    ):
        assert asked(address, model, *arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
