"""The folder of a store, as one server looks at it again and again."""

import asyncio
import logging
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from service.bundle import BundleError, printable
from service.metrics import Metrics
from service.store.loads import PATIENCE
from service.store_folder import Found, in_daemon_thread, look_through

log = logging.getLogger(__name__)


class Look(NamedTuple):
    """A look at a folder that could be read.

    Args:
        found: what is in it.
        is_first: whether none came before.
        is_other: whether it was another folder before.
        is_back: whether it could not be read before.
    """

    found: Found
    is_first: bool
    is_other: bool
    is_back: bool


class Looks:
    """The looks of one store, one at a time; log and metrics say whether its folder can be read.

    Args:
        folder: of the store, or one bundle.
        metrics: are told whether it can be read.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self._folder = folder
        self._metrics = metrics
        self._look: Future[Found] | None = None
        self._skipped: dict[str, str] = {}
        self._content: object = None
        self.unreadable = ""
        """Why it cannot be read; empty where it can."""

    async def look(self, known: int) -> Look | None:
        """What is in it now; None where it cannot be read, or where all is gone at once.

        Args:
            known: how many models were there before.

        Raises:
            BundleError: it cannot be read, and nothing was there before.
        """
        try:
            found = await self._look_through()
        except BundleError as error:
            self._say_unreadable(str(error))
            if not known:
                # for who starts the server; callers are told no path
                raise BundleError(f"{error} ({self._folder})") from None
            return None
        if known and found.is_lost(known):
            self._say_unreadable("no bundle is left in the store; what is loaded stays")
            return None
        is_back = self.unreadable != ""
        self._say_unreadable("")
        self._say_skipped(found)
        before, self._content = self._content, found.content
        is_other = before is not None and before != self._content
        return Look(found, before is None, is_other, is_back)

    async def _look_through(self) -> Found:
        """What `look` finds, in a thread: a file system that has gone may answer never."""
        if self._look is not None and not self._look.done():
            raise BundleError("the store does not answer")
        folder = self._folder
        self._look = in_daemon_thread("store-look", lambda: look_through(folder))
        looking = asyncio.wrap_future(self._look)
        done, _ = await asyncio.wait({looking}, timeout=PATIENCE)
        if not done:
            raise BundleError("the store does not answer")
        return looking.result()

    def _say_unreadable(self, reason: str) -> None:
        """Take note that the folder can be read, or why it cannot; the log has it once."""
        self._metrics.store_readable.set(0 if reason else 1)
        if reason and reason != self.unreadable:
            log.error("%s: %s", self._folder, reason)
        elif not reason and self.unreadable:
            log.info("%s can be read again", self._folder)
        self.unreadable = reason

    def _say_skipped(self, found: Found) -> None:
        for name, why in found.skipped.items():
            if self._skipped.get(name) != why:
                log.warning("skipped %s in %s: %s", printable(name), self._folder, why)
        self._skipped = found.skipped
