"""JSON of large answers: written in pieces, and refused before the work where it is too large."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.codecs import json as json_codec
from service.codecs.json import write_object
from service.http.app import create_app
from service.open_inference import protocol
from service.server import Server
from service.settings import Settings
from tests.helpers.examples import examples
from tests.helpers.exchange import Exchange, until
from tests.helpers.http import NPY
from tests.helpers.tiny import write_tiny_bundle

DTYPES = st.sampled_from(["<f4", ">f8", "i8", "?", "U2"])
ARRAYS = DTYPES.flatmap(
    lambda d: arrays.arrays(d, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9))
)


@examples(60)
@given(st.lists(ARRAYS, max_size=3))
def test_pieces_say_what_the_whole_says(values: list[Any]) -> None:
    content = {"model": 'a"b', **{f"y{i}": v for i, v in enumerate(values)}, "seed": 2**63}
    flat = {f"y{i}": v.ravel() for i, v in enumerate(values)}
    is_binary = dict.fromkeys(flat, False)
    wholes = write_object(content), protocol.dump({"id": "7"}, flat, is_binary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_codec, "PIECE_VALUES", 4)
        patch.setattr(protocol, "PIECE_VALUES", 4)
        assert (write_object(content), protocol.dump({"id": "7"}, flat, is_binary)) == wholes


def test_a_large_answer_is_written_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
    longest, dumps = 0, orjson.dumps

    def dump(content: Any, **options: Any) -> bytes:
        nonlocal longest
        text = dumps(content, **options)
        longest = max(longest, len(text))
        return text

    monkeypatch.setattr(orjson, "dumps", dump)
    text = write_object({"model": "m", "x": values, "log_prob": values[:, 0]})
    assert np.array_equal(np.array(json.loads(text)["x"], np.float32), values)
    assert longest < 16 * json_codec.PIECE_VALUES


def test_an_answer_too_large_for_json_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_codec, "MAX_ANSWER_VALUES", 300)
    write_tiny_bundle(tmp_path, "tiny")

    async def ask() -> None:
        server = Server(Settings(store=tmp_path, device="cpu"))
        app = create_app(server)
        async with server.running():
            await until(lambda: server.ready)
            for target, accept, status in (
                ("/sample?n=100", "", 200),
                ("/sample?n=101", "", 413),
                ("/sample?n=101", NPY, 200),
                ("/sample?n=300&output=log_prob", "", 200),
                ("/sample?n=301&output=log_prob", "", 413),
            ):
                answer = await Exchange("POST", target, headers={"accept": accept}).run(app)
                assert answer.status == status, answer.content[:300]
            refused = await Exchange("POST", "/sample?n=101").run(app)
            assert b"an answer in JSON may have 300 numbers, this one has 303" in refused.content
            fields = "&".join(f"a{i}=1" for i in range(65))
            refused = await Exchange("POST", f"/sample?{fields}").run(app)
            assert b"may have 64 fields" in refused.content

    asyncio.run(ask())
