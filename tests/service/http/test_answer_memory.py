"""What an answer takes is held before it is made, whatever few bytes ask for it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.asgi import call, running_app
from tests.helpers.http import ARROW, NPY, metric_of

ENDS = b'{"start": [0.1, 0.2], "end": [0.3, 0.4], "steps": 200000}'
ROWS = b'{"id": "", "inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [200000]}]}'
Question = tuple[str, bytes, dict[str, str]]

LARGE: dict[str, Question] = {
    "a sample": ("/sample", b'{"n": 200000}', {}),
    "a path": ("/interpolate", ENDS, {}),
    "a sample of the protocol": ("/v2/models/moons-maf.sample/infer", ROWS, {}),
}
IN_PIECES: dict[str, Question] = {
    "npy": ("/sample?n=200000", b"", {"accept": NPY}),
    "Arrow": ("/sample?n=200000", b"", {"accept": ARROW}),
}


def ask(store: Path, question: Question, mib: int) -> tuple[int, float]:
    """Status of the answer, and how many requests were refused for their size."""
    path, body, headers = question

    async def work() -> tuple[int, str]:
        async with running_app(store, max_inflight_mib=mib, max_rows=200_000) as (app, server):
            messages = iter([{"type": "http.request", "body": body}])

            async def receive() -> Any:
                if (message := next(messages, None)) is None:
                    await asyncio.Event().wait()
                return message

            answer = await call(app, path, receive, headers)
            assert server.inflight.held == 0
            return answer.status, server.metrics.exposition().decode()

    status, metrics = asyncio.run(work())
    name = "infer" if path.startswith("/v2") else path[1:].partition("?")[0]
    labels = {"endpoint": name, "reason": "too-large"}
    return status, metric_of(metrics, "bijecta_request_failures_total", **labels)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(("mib", "status"), [(1, 413), (8, 200)])
def test_an_answer_is_held_before_it_is_made(
    moons_store: Path, name: str, mib: int, status: int
) -> None:
    assert ask(moons_store, LARGE[name], mib) == (status, status == 413)


@pytest.mark.parametrize("name", IN_PIECES)
def test_of_an_answer_in_pieces_a_few_are_held(moons_store: Path, name: str) -> None:
    assert ask(moons_store, IN_PIECES[name], 1) == (200, 0)
