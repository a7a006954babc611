"""Many callers at once, some of whom send poison, leave, or wait for no more than a moment."""

import asyncio
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from sklearn.datasets import make_moons

from service.types import Float32
from tests.helpers.http import NPY, metric, to_npy
from tests.helpers.servers import Serve, Served
from tests.helpers.stores import edit

MODEL = "moons-maf"
# What a neighbour in a batch may change of a row's log_prob, in nats: rounding.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def own_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one model, to be written to."""
    folder = tmp_path_factory.mktemp("stress")
    shutil.copytree(store / MODEL, folder / MODEL)
    return folder


@pytest.fixture(scope="module")
def served(own_store: Path, serve: Serve) -> Iterator[Served]:
    """A server of it, which looks for changes."""
    served = serve("--store", own_store, "--poll-seconds", "0.2")
    yield served
    served.end()


def rows(dice: random.Random, count: int) -> Float32:
    """Rows of two moons, where the flow has been trained."""
    x: Float32 = make_moons(count, noise=0.1, random_state=dice.randrange(2**32))[0]
    return x.astype(np.float32)


def truth(store: Path, x: Float32) -> Float32:
    session = onnxruntime.InferenceSession(store / MODEL / "1" / "encode.onnx")
    answer: Float32 = session.run(["log_prob"], {"x": x})[0]
    return answer


POISON: dict[str, tuple[Any, int]] = {
    "not a number": ([[0.0, float("nan")]], 422),
    "too wide": ([[0.0, 1.0, 2.0]], 422),
    "overflows in the graph": ([[1e30, 1e30]], 422),
}


@pytest.mark.parametrize("poison", POISON)
def test_one_poisoned_row_among_31_good_ones_harms_only_its_own_request(
    served: Served, store: Path, poison: str
) -> None:
    x, status = POISON[poison]
    good = rows(random.Random(0), 31)
    bodies = [json.dumps({"x": [row.tolist()]}) for row in good]
    bodies.insert(17, json.dumps({"x": x}))

    async def work() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=32)
        url = served.client.base_url
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            return await asyncio.gather(*(client.post("/log_prob", content=b) for b in bodies))

    for _ in range(3):
        answers = asyncio.run(work())
        assert answers.pop(17).status_code == status
        found = [answer.json()["log_prob"][0] for answer in answers]
        np.testing.assert_allclose(found, truth(store, good), rtol=0, atol=TOLERANCE)


def test_a_seed_draws_the_same_rows_whatever_else_is_asked(served: Served) -> None:
    url, alone = served.client.base_url, {}
    for seed in range(8):
        answer = served.client.post("/sample", json={"n": 5, "seed": seed}).json()
        alone[seed] = np.array(answer["x"])

    async def work() -> None:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

            async def ask(seed: int) -> None:
                n = 5 + 37 * (seed % 6)
                body = {"n": n, "seed": seed % 8}
                answer = (await client.post("/sample", json=body)).json()
                x = np.array(answer["x"])[:5]
                np.testing.assert_allclose(x, alone[seed % 8], rtol=0, atol=1e-5 * np.ptp(x))

            await asyncio.gather(*(ask(seed) for seed in range(200)))

    asyncio.run(work())


@dataclass
class Mix:
    """Requests of every kind, and what became of them."""

    url: httpx.URL
    store: Path
    count: int
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    outcomes: Counter[str] = field(default_factory=Counter)
    scored: list[tuple[Float32, Float32]] = field(default_factory=list)

    async def run(self, callers: int) -> None:
        left = iter(range(self.count))
        limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
        async with httpx.AsyncClient(base_url=self.url, limits=limits, timeout=60) as client:

            async def call() -> None:
                for _ in left:
                    kind = self.dice.choice(KINDS)
                    self.outcomes[f"{kind}: {await getattr(self, kind)(client)}"] += 1

            await asyncio.gather(*(call() for _ in range(callers)))

    async def score(self, client: httpx.AsyncClient) -> int:
        x = rows(self.dice, self.dice.choice((1, 1, 3, 32, 400)))
        headers = {"content-type": NPY}
        answer = await client.post("/log_prob", content=to_npy(x), headers=headers)
        self.scored.append((x, np.load(io.BytesIO(answer.content))))
        return answer.status_code

    async def round_trip(self, client: httpx.AsyncClient) -> int:
        x = rows(self.dice, 4)
        encoded = await client.post("/encode", json={"x": x.tolist()})
        decoded = await client.post("/decode", json={"z": encoded.json()["z"]})
        np.testing.assert_allclose(decoded.json()["x"], x, rtol=0, atol=1e-4)
        return decoded.status_code

    async def poison(self, client: httpx.AsyncClient) -> int:
        x, _ = self.dice.choice(list(POISON.values()))
        return (await client.post("/log_prob", content=json.dumps({"x": x}))).status_code

    async def leave(self, client: httpx.AsyncClient) -> str:
        ask = client.post("/sample", json={"n": 20_000})
        try:
            await asyncio.wait_for(ask, self.dice.uniform(0, 0.01))
        except (TimeoutError, httpx.HTTPError):
            return "left"
        return "answered"

    async def hurry(self, client: httpx.AsyncClient) -> int:
        headers = {"x-request-timeout": f"{self.dice.uniform(1e-4, 0.05):.6f}"}
        answer = await client.post("/sample", json={"n": 2000}, headers=headers)
        return answer.status_code

    async def reload(self, client: httpx.AsyncClient) -> int:
        if self.dice.random() < 0.05:
            edit(self.store / MODEL / "1", made_with={"turn": str(self.dice.random())})
        return (await client.get("/models")).status_code


KINDS = ("score", "score", "score", "round_trip", "poison", "leave", "hurry", "reload")
ALLOWED = {
    *("score: 200", "round_trip: 200", "poison: 422", "reload: 200"),
    *("leave: left", "leave: answered", "hurry: 200", "hurry: 504"),
}


@pytest.mark.parametrize(
    "count", [200, pytest.param(10_000, marks=pytest.mark.long)], ids=["200", "10,000"]
)
def test_mixed_requests_are_answered_once_each_with_their_own_rows(
    served: Served, store: Path, own_store: Path, count: int
) -> None:
    asyncio.run(Mix(served.client.base_url, own_store, count // 5).run(callers=32))
    before = memory(served)
    mix = Mix(served.client.base_url, own_store, count)
    asyncio.run(mix.run(callers=32))
    assert set(mix.outcomes) <= ALLOWED
    assert mix.outcomes.total() == count
    x = np.concatenate([x for x, _ in mix.scored])
    log_prob = np.concatenate([log_prob for _, log_prob in mix.scored])
    np.testing.assert_allclose(log_prob, truth(store, x), rtol=0, atol=TOLERANCE)
    assert memory(served) - before < 30 * 2**20
    assert metric(served.client, "bijecta_queue_rows") == 0
    assert metric(served.client, "bijecta_inflight_requests") == 1  # the one that asks for this


def memory(served: Served) -> float:
    """Resident bytes of the server."""
    return metric(served.client, "process_resident_memory_bytes")
