"""Every question of the client, blocking and async, to the server at the address given.

Run in an environment that holds the client and nothing of the server.
"""

import asyncio
import sys
from importlib.metadata import distributions
from typing import Any

import numpy as np

from bijecta_client import AsyncClient, Client, Numbers

OF_THE_SERVER = {"bijecta", "onnxruntime", "onnxruntime-gpu", "fastapi", "pydantic", "uvicorn"}


def questions(client: Any, model: str, rows: Numbers) -> list[Any]:
    """The calls, in turn; of `AsyncClient` they are to be awaited."""
    return [
        client.log_prob(rows, model=model),
        client.encode(rows, model=model),
        client.decode(rows, model=model),
        client.sample(3, seed=7, model=model),
        client.interpolate(rows[0], rows[1], 3, model=model),
        client.models(),
        client.model(model),
        client.ready(),
    ]


async def together(url: str, model: str, rows: Numbers) -> list[Any]:
    """The same by the client for asyncio, all at once."""
    async with AsyncClient(url) as client:
        return list(await asyncio.gather(*questions(client, model, rows)))


def main(url: str, model: str) -> None:
    """Ask everything in both ways, and see that the answers agree."""
    installed = {found.metadata["Name"].lower() for found in distributions()}
    assert not installed & OF_THE_SERVER, sorted(installed & OF_THE_SERVER)
    with Client(url) as client:
        rows = client.sample(2, seed=1, model=model).x
        blocking = questions(client, model, rows)
    for one, other in zip(blocking, asyncio.run(together(url, model, rows)), strict=True):
        if isinstance(one, dict | bool):
            assert one == other
        else:
            np.testing.assert_allclose(
                np.hstack(list(map(np.ravel, one))),
                np.hstack(list(map(np.ravel, other))),
                atol=1e-5,
            )
    print(f"{len(blocking)} questions answered alike, blocking and async")


if __name__ == "__main__":
    main(*sys.argv[1:])
