"""A client of a Bijecta server: numpy arrays in, numpy arrays out, binary on the way.

    with Client("http://localhost:8000", "moons-maf") as client:
        print(client.log_prob([[0.5, 0.5], [1, -0.5]]))

`AsyncClient` has the same methods, to be awaited. Both need numpy and httpx, nothing of the server.
"""

from bijecta_client.answers import (
    Decoded,
    Encoded,
    InexactRowsWarning,
    Interpolated,
    RowError,
    Sampled,
)
from bijecta_client.client import AsyncClient, Client
from bijecta_client.exchange import (
    BijectaError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
)

__all__ = [
    "AsyncClient",
    "BijectaError",
    "Client",
    "Decoded",
    "Encoded",
    "InexactRowsWarning",
    "Interpolated",
    "RefusedError",
    "RowError",
    "Sampled",
    "TimedOutError",
    "UnavailableError",
    "UnreachableError",
    "UnreadableError",
]
