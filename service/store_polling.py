"""When a server looks through its store, and what it waits for until a model can answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Set
from contextlib import suppress

from service.bundle import BundleError
from service.errors import UnavailableError
from service.group import Group
from service.remote import Follower
from service.runtime import DeviceError
from service.settings import Settings, settings_key
from service.store import Store

log = logging.getLogger(__name__)

# How often a server without a model looks through its store, and others for what is to be tried
# again, in seconds.
LOOK_SECONDS = 5

LOADING = "the models are still being loaded"
ADVICE = (
    "`bijecta export RUN --store STORE` writes a bundle; `make store` or, with Docker, "
    "`docker compose up train` trains examples"
)


class StorePolling:
    """Looks through a store at the start, now and then, and where it is known to have changed.

    Args:
        settings: of the server.
        own_settings: keys of the models that have settings of their own, see `settings_key`.
        store: what is looked through.
        follower: keeps its folder like a store elsewhere; None where the folder is the store.
        group: the other workers.

    Attributes:
        changed: set where the store is known to have changed.
        failure: why the server cannot start.
        on_failure: called when it cannot start.
    """

    def __init__(
        self,
        settings: Settings,
        own_settings: Set[str],
        store: Store,
        follower: Follower | None,
        group: Group,
    ) -> None:
        self._settings = settings
        self._own_settings = own_settings
        self._store = store
        self._follower = follower
        self._group = group
        self._waits_for = LOADING
        self.changed = asyncio.Event() if follower is None else follower.changed
        self.failure: BundleError | DeviceError | None = None
        self.on_failure: Callable[[], None] = lambda: None

    @property
    def waits_for(self) -> str:
        """What has to come before requests are answered; empty from then on."""
        return self._waits_for

    def check_started(self) -> None:
        """Check that the models are loaded.

        Raises:
            UnavailableError: the models are still being loaded.
        """
        if self._waits_for:
            raise UnavailableError(
                self._waits_for, 1 if self._waits_for is LOADING else LOOK_SECONDS
            )

    async def keep(self) -> None:
        """Load the store, and what becomes of it, until this is cancelled or it cannot start."""
        poll_seconds = self._settings.poll_seconds
        looked_at = time.monotonic()
        try:
            if self._follower is not None:
                await self._follow_first(self._follower)
            await self._store.refresh()
            self._check_default()
        except (BundleError, DeviceError) as failure:
            self.failure = failure
            self.on_failure()
            return
        self._begin()
        while True:
            has_changed = await self._pause(min(poll_seconds or LOOK_SECONDS, LOOK_SECONDS))
            try:
                elapsed = time.monotonic() - looked_at + 0.01  # clocks differ by a little
                if has_changed or self._waits_for or 0 < poll_seconds <= elapsed:
                    looked_at = time.monotonic()
                    with self._group.looking() as misses:
                        await self._store.refresh(misses=misses)
                else:
                    await self._store.retry()
            except (BundleError, DeviceError):
                log.exception("the store could not be looked through")
            self._begin()

    async def _follow_first(self, follower: Follower) -> None:
        """Wait until it is known what a store elsewhere holds.

        Raises:
            BundleError: it cannot be read, for a reason that does not pass, and nothing of it is
                here from before.
        """
        await follower.begin()
        if follower.failure and follower.lasts and follower.is_empty:
            raise BundleError(f"{follower.address}: {follower.failure}")

    async def _pause(self, seconds: float) -> bool:
        """Wait so long, or until the store is known to have changed; returns whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        has_changed = self.changed.is_set()
        self.changed.clear()
        return has_changed

    def _begin(self) -> None:
        """Answer from now on if there is a model; until then, the log says what there is to do."""
        if not self._waits_for:
            return
        versions = self._store.entries.values()
        entries = [entry for by_number in versions for entry in by_number.values()]
        unloaded = self._group.unloaded and all(entry.unloaded for entry in entries)
        if self._store.models or (entries and unloaded):
            self._say_unused_settings()
            self._waits_for = ""
            return
        waits_for = LOADING
        if not entries:
            waits_for = f"the store is empty: {ADVICE}"
        elif all(entry.refused or entry.unloaded for entry in entries):
            waits_for = f"no bundle could be loaded, and GET /models says why: {ADVICE}"
        if waits_for != self._waits_for:
            where = self._settings.store if self._follower is None else self._follower.address
            log.error("%s: %s; looking again every %d s", where, waits_for, LOOK_SECONDS)
        self._waits_for = waits_for

    def _check_default(self) -> None:
        """Check that the default model is in the store, or may come.

        Raises:
            BundleError: it is not.
        """
        default, names = self._settings.default_model, sorted(self._store.entries)
        if default is None or not names or self._settings.poll_seconds or self._follower:
            return
        name, _, alias = default.partition("@")
        if name not in names:
            raise BundleError(f"the default model {default!r} is none of {', '.join(names)}")
        if alias and alias not in self._store.naming.describe(name)["aliases"]:
            raise BundleError(f"the default model {default!r} is no alias of {name}")

    def _say_unused_settings(self) -> None:
        """Log settings of models that are not in the store."""
        used = {settings_key(name) for name in self._store.entries}
        for key in sorted(self._own_settings - used):
            log.warning("there are settings of %s, and no such model in the store", key)
