"""A client of a Bijecta server: numpy arrays in, numpy arrays out, binary on the way.

    with Client("http://localhost:8000", "moons-maf") as client:
        print(client.log_prob([[0.5, 0.5], [1, -0.5]]))

Models of tables take rows by name too, such as `[{"amount": 12.5, "country": "DE"}]`.

`AsyncClient` has the same methods, to be awaited. Both need numpy and httpx, nothing of the server.
"""

from bijecta_client.answers import (
    Decoded,
    Encoded,
    EncodedByMembers,
    InexactRowsWarning,
    Interpolated,
    Layered,
    Numbers,
    OfMembers,
    Placed,
    RowError,
    Sampled,
    Scored,
    UnfamiliarValuesWarning,
)
from bijecta_client.client import AsyncClient, Client
from bijecta_client.errors import (
    BijectaError,
    NotPermittedError,
    RateLimitedError,
    RefusedError,
    TimedOutError,
    UnauthorizedError,
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
    "EncodedByMembers",
    "InexactRowsWarning",
    "Interpolated",
    "Layered",
    "NotPermittedError",
    "Numbers",
    "OfMembers",
    "Placed",
    "RateLimitedError",
    "RefusedError",
    "RowError",
    "Sampled",
    "Scored",
    "TimedOutError",
    "UnauthorizedError",
    "UnavailableError",
    "UnfamiliarValuesWarning",
    "UnreachableError",
    "UnreadableError",
]
