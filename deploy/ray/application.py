"""The server as an application of Ray Serve: replicas of it behind one address.

    serve run deploy/ray/serve.yaml

A replica is what `bijecta serve` runs, without its process: the same ASGI application on a store of
its own. It reads its settings from the variables `BIJECTA_…`, which `runtime_env` sets.
"""

import argparse
import asyncio

from ray import serve
from starlette.types import ASGIApp

from service.http import create_app
from service.server import Server
from service.settings import add_flags, load

LOOK_SECONDS = 0.1


# Ray's default is 5 requests at once, of which no batch can be made.
@serve.deployment(max_ongoing_requests=256)
@serve.ingress()
class Bijecta:
    """One replica.

    Raises:
        SettingsError: variables that make no sense.
        DeviceError: the device asked for cannot be used here.
    """

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        flags = add_flags(parser)
        self._server = Server(load(flags, parser.parse_args([])))
        self._has_begun = False

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._server)

    async def check_health(self) -> None:
        """Wait for the models before the first request comes; later, say whether they still work.

        Raises:
            RuntimeError: the replica cannot start, or a model's threads have failed: Ray starts
                another one in its place.
        """
        while not self._server.ready:
            if self._server.polling.failure is not None:
                raise RuntimeError(str(self._server.polling.failure))
            if self._has_begun:
                raise RuntimeError("a model is out of order")
            await asyncio.sleep(LOOK_SECONDS)
        self._has_begun = True


app = Bijecta.bind()  # type: ignore[attr-defined]
