"""Everything one running server owns, and its state between start and end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from service.bundle import BundleError
from service.errors import UnavailableError
from service.metrics import Metrics
from service.operations import CheckedRuns, Operations
from service.runtime import Device, DeviceError, granted_cpus
from service.settings import Settings, by_model, settings_key
from service.store import Loader, Store
from service.work_threads import WorkThreads

log = logging.getLogger(__name__)

# Of the work on large requests; more would take the CPUs from the graphs.
MAX_WORK_THREADS = 4


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
        """Whether it is about to stop, and answers the callers that still come."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called when it cannot start."""
        self._started = False
        self._model_settings = model_settings = by_model(settings)
        loader = Loader(
            Device.choose(settings.device),
            lambda name: model_settings.get(settings_key(name), settings),
            self.metrics,
        )
        self.store = Store(settings.store, loader, settings.default_model, settings.max_models)
        self.threads = WorkThreads(max(2, min(granted_cpus(), MAX_WORK_THREADS)))
        runs = CheckedRuns(settings.max_rows, self.metrics, self.threads)
        self.operations = Operations(settings.max_sample_rows, runs)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        models = self.store.models
        return self._started and not self.draining and all(m.engine.healthy for m in models)

    def check_started(self) -> None:
        """Check that the models are loaded.

        Raises:
            UnavailableError: the models are still being loaded.
        """
        if not self._started:
            raise UnavailableError("the models are still being loaded")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the store and watch its folder in a task; close every model at the end."""
        task = asyncio.create_task(self._watch_store())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.store.close()
            self.threads.close()

    async def _watch_store(self) -> None:
        try:
            await self.store.refresh()
            self._check_has_models()
        except (BundleError, DeviceError) as failure:
            self.failure = failure
            self.on_failure()
            return
        self._say_unused_settings()
        self._started = True
        while self.settings.poll_seconds:
            await asyncio.sleep(self.settings.poll_seconds)
            try:
                await self.store.refresh()
            except (BundleError, DeviceError, OSError):
                log.exception("the store could not be looked through")

    def _say_unused_settings(self) -> None:
        """Log settings of models that are not in the store."""
        used = {settings_key(name) for name in self.store.entries}
        for key in sorted(self._model_settings.keys() - used):
            log.warning("there are settings of %s, and no such model in the store", key)

    def _check_has_models(self) -> None:
        """Check that there is something to serve, now or later.

        Raises:
            BundleError: no bundle could be loaded, or the default model is not among them.
        """
        store, folder = self.store, self.settings.store
        if not store.models and not self.settings.poll_seconds:
            reasons = [e.refused for versions in store.entries.values() for e in versions.values()]
            raise BundleError(
                f"no bundle could be loaded from {folder}"
                + "".join(f"\n  {reason}" for reason in reasons)
                + "\n`bijecta export RUN --store STORE` writes one; `make serve` makes six"
            )
        default = self.settings.default_model
        if default is not None and default not in store.entries and not self.settings.poll_seconds:
            names = ", ".join(sorted(store.entries))
            raise BundleError(f"the default model {default!r} is none of {names}")
