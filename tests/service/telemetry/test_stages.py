"""Where the time of a request went: in `Server-Timing`, and in the metrics by model."""

import asyncio
import gzip
import re
import time
from pathlib import Path
from typing import Any

import pytest

from service.engine.session import OnnxGraph
from tests.helpers.exchange import Exchange
from tests.helpers.http import metric_of
from tests.helpers.running import NAME, run, running

STAGES = ["receive", "parse", "queue", "run", "serialise"]
BODY = b'{"x": [[1, 2]]}'
STAGE_METRIC = "bijecta_request_stage_duration_seconds"


def timing(exchange: Exchange) -> dict[str, float]:
    """The stages of an answer in milliseconds."""
    said = dict(exchange.sent[0]["headers"])[b"server-timing"].decode()
    assert re.fullmatch(r"(\w+;dur=\d+\.\d{3}(, )?){5}", said)
    return {k: float(v) for k, v in re.findall(r"(\w+);dur=([\d.]+)", said)}


def test_stages_are_all_there_and_take_no_longer_than_the_request(tiny_store: Path) -> None:
    async def work() -> None:
        async with running(tiny_store) as served:
            began = time.monotonic()
            exchange = await Exchange("POST", "/log_prob", BODY).run(served.app)
            took = 1e3 * (time.monotonic() - began)
            said = timing(exchange)
            assert list(said) == STAGES
            assert all(ms > 0 for ms in said.values())
            assert sum(said.values()) <= took
            infer = (
                b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
            )
            exchange = await Exchange("POST", "/v2/models/tiny/infer", infer).run(served.app)
            assert all(ms > 0 for ms in timing(exchange).values())
            for target in ("/models", "/metrics", "/nowhere"):  # nobody reads a body
                exchange = await Exchange("GET", target).run(served.app)
                assert b"server-timing" not in dict(exchange.sent[0]["headers"])

    run(work)


def test_a_request_that_is_refused_says_how_far_it_came(tiny_store: Path) -> None:
    async def work() -> None:
        async with running(tiny_store) as served:
            said = timing(await Exchange("POST", "/log_prob", b'{"x": [[1]]}').run(served.app))
            assert said["receive"] > 0
            assert said["parse"] > 0
            assert said["queue"] == said["run"] == said["serialise"] == 0
            metrics = served.server.metrics.exposition().decode()
            for stage in STAGES:
                came = metric_of(metrics, f"{STAGE_METRIC}_count", stage=stage, model=NAME)
                assert came == (stage in ("receive", "parse"))

    run(work)


def test_time_on_the_device_and_before_it_is_told_apart(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = OnnxGraph.__call__

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return answers(*arguments)

    async def work() -> None:
        async with running(tiny_store, threads=1) as served:
            monkeypatch.setattr(OnnxGraph, "__call__", slow)
            # of a graph whose speed is unknown the first run is in a thread, the only one
            first = asyncio.create_task(Exchange("POST", "/log_prob", BODY).run(served.app))
            while not served.model.engine.statistics("encode").requests:
                await asyncio.sleep(0)
            second = await Exchange("POST", "/log_prob", BODY).run(served.app)
            one, two = timing(await first), timing(second)
            assert one["run"] >= 50
            assert two["run"] >= 50
            assert one["queue"] < two["queue"] > 25
            metrics = served.server.metrics.exposition().decode()
            in_runs = metric_of(metrics, f"{STAGE_METRIC}_sum", stage="run", model=NAME)
            assert in_runs >= 0.1

    run(work)


def test_what_a_body_is_compressed_in_is_read_in_parse(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = "service.http.request_body.Decompression.read"

    async def work() -> None:
        async with running(tiny_store) as served:
            body, headers = gzip.compress(BODY), {"Content-Encoding": "gzip"}
            exchange = await Exchange("POST", "/log_prob", body, headers).run(served.app)
            assert exchange.status == 200
            monkeypatch.setattr(reads, lambda *_: time.sleep(0.02))
            exchange = await Exchange("POST", "/log_prob", body, headers).run(served.app)
            assert timing(exchange)["parse"] >= 20

    run(work)


@pytest.mark.parametrize(("accept", "rows"), [("application/x-npy", 60_000), ("", 60_000)])
def test_a_stage_of_an_answer_in_pieces_goes_on_after_the_head(
    tiny_store: Path, accept: str, rows: int
) -> None:
    async def work() -> None:
        async with running(tiny_store) as served:
            headers = {"Accept": accept} if accept else {}
            exchange = await Exchange("POST", f"/sample?n={rows}", b"", headers).run(served.app)
            assert len(exchange.sent) > 3
            said = timing(exchange)
            assert said["serialise"] > 0
            metrics = served.server.metrics.exposition().decode()
            whole = metric_of(metrics, f"{STAGE_METRIC}_sum", stage="serialise", model=NAME)
            assert 1e3 * whole > said["serialise"]
            assert metric_of(metrics, "bijecta_request_rows_sum", model=NAME) == rows

    run(work)
