"""Everything one running server owns, and where it is between its start and its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from service.bundle import BundleError
from service.errors import UnavailableError
from service.metrics import Metrics
from service.operations import Operations
from service.runtime import Device, DeviceError
from service.settings import Settings, by_model
from service.store import Loader, Store

log = logging.getLogger(__name__)


class Server:
    """The owner of a server's store, operations and metrics.

    Args:
        settings: of this server.

    Raises:
        DeviceError: the device asked for cannot be used here.
        SettingsError: a file of settings makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.failure: BundleError | DeviceError | None = None
        """Why it could not start."""
        self.draining = False
        """Whether it answers only because callers have not all gone elsewhere."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called where it cannot start."""
        self._started = False
        own = by_model(settings)
        loader = Loader(
            Device.choose(settings.device),
            lambda name: own.get(name, settings),
            self.metrics,
        )
        self.store = Store(settings.store, loader, settings.default_model, settings.max_models)
        self.operations = Operations(settings.max_rows, settings.max_sample_rows, self.metrics)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        models = self.store.models
        return self._started and not self.draining and all(m.engine.healthy for m in models)

    def check_started(self) -> None:
        """See that questions can be answered.

        Raises:
            UnavailableError: the models are still being loaded.
        """
        if not self._started:
            raise UnavailableError("the models are still being loaded")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the store, beside whatever else goes on, and look after it."""
        task = asyncio.create_task(self._look_after())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _look_after(self) -> None:
        try:
            await self.store.refresh()
            self._check_has_models()
        except (BundleError, DeviceError) as failure:
            self.failure = failure
            self.on_failure()
            return
        self._started = True
        while self.settings.poll_seconds:
            await asyncio.sleep(self.settings.poll_seconds)
            try:
                await self.store.refresh()
            except (BundleError, DeviceError, OSError):
                log.exception("the store could not be looked through")

    def _check_has_models(self) -> None:
        """See that there is something to serve, now or later."""
        store, folder = self.store, self.settings.store
        if not store.models and not self.settings.poll_seconds:
            reasons = [e.refused for versions in store.entries.values() for e in versions.values()]
            raise BundleError(
                f"no bundle could be loaded from {folder}"
                + "".join(f"\n  {reason}" for reason in reasons)
                + "\n`bijecta export RUN --store STORE` writes one; `make serve` makes five"
            )
        default = self.settings.default_model
        if default is not None and default not in store.entries and not self.settings.poll_seconds:
            names = ", ".join(sorted(store.entries))
            raise BundleError(f"the default model {default!r} is none of {names}")
