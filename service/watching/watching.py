"""The watches over all versions that a server has loaded."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.bundle import AnyManifest, watched_columns
from service.conformal import Calibration, HourClasses, Urn
from service.metrics import HeldOutLogProb, Metrics
from service.watching.drift import DriftTest
from service.watching.state_folder import StateFolder
from service.watching.watch import Watch
from service.work_threads import WorkThreads

log = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0
"""After so long, rows that wait are taken, however few."""

SAVE_SECONDS = 10.0
"""How often states are written; a server that is killed loses so many seconds of rows."""

MAX_UNLOADED = 64
"""Watches over versions that are not loaded, kept for when they are loaded again."""

LEVELS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Of held-out rows, whose log_prob bounds the buckets of a histogram."""


class Watching:
    """What a server knows of the rows that its models are asked about.

    Args:
        metrics: have the series.
        threads: where work that grows with rows is done.
        threshold: of the tests of drift.
        folder: where states are kept; None for nowhere.
        streams: in which the rows of a server come, as each of its workers tests its own.
    """

    def __init__(
        self,
        metrics: Metrics,
        threads: WorkThreads,
        threshold: float,
        folder: Path | None,
        streams: int = 1,
    ) -> None:
        self._metrics = metrics
        self._threads = threads
        self._threshold = threshold
        self._streams = streams
        self._folder = None if folder is None else StateFolder.open(folder)
        self._shown: dict[tuple[str, int], Watch] = {}
        self._unloaded: dict[tuple[str, int], Watch] = {}
        self._guard = threading.Lock()
        self._writing = threading.Lock()  # a write whose caller has left goes on in its thread
        self._saved = time.monotonic()

    def watch_of(
        self,
        manifest: AnyManifest,
        calibration: Calibration | None,
        reference: Sequence[Urn] | None = None,
        hours: HourClasses | None = None,
    ) -> Watch:
        """The watch over a version: the one it had, else of a kept state, else a new one.

        Called by the threads that load bundles.

        Args:
            manifest: of the version.
            calibration: of a detector, by which drift is tested.
            reference: that the values of its columns are compared with.
            hours: what rows are compared with by the hour, in place of both.
        """
        key = manifest.name, manifest.version
        with self._guard:
            watch = self._shown.get(key) or self._unloaded.get(key)
        if watch is not None and watch.checksum == manifest.checksum:
            return watch
        series = self._metrics.model_series(*key, _held_out(manifest))
        columns = watched_columns(manifest.columns or [])
        begin = None
        if calibration is not None:
            names = [(manifest.column_names or [])[i] for i in columns]
            urns = None if reference is None else [reference[i] for i in columns]

            def begin() -> DriftTest:
                random = np.random.default_rng()
                # one alarm in so many in any stream, if it is so much rarer in each
                threshold = self._threshold * self._streams
                return DriftTest(calibration, names, urns, threshold, random, hours)

        times = None if hours is None else hours.column
        args = self._threshold, self._threads, self._streams
        watch = Watch(manifest, series, columns, times, begin, *args)
        self._restore(watch)
        return watch

    def loaded(self, watch: Watch) -> None:
        """A version has been loaded: show its series."""
        key = watch.name, watch.version
        with self._guard:
            self._unloaded.pop(key, None)
            self._shown[key] = watch
        watch.series.show()

    def unloaded(self, watch: Watch) -> None:
        """A version is loaded no more; what is known of it is kept for a while."""
        watch.series.hide()
        key = watch.name, watch.version
        with self._guard:
            self._shown.pop(key, None)
            self._unloaded[key] = watch
            if len(self._unloaded) > MAX_UNLOADED:
                del self._unloaded[next(iter(self._unloaded))]

    async def keep(self) -> None:
        """Take the rows that wait, and write what has changed, again and again."""
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                await self._settle()
                if time.monotonic() >= self._saved + SAVE_SECONDS:
                    await self.save()
            except Exception:  # a mistake of ours in one watch is not to end the others
                log.exception("a watch could not go on")

    async def save(self) -> None:
        """Write what has changed."""
        self._saved = time.monotonic()
        await self._settle()
        if self._folder is not None:
            for watch in self._known():
                if watch.is_changed:
                    await self._threads.run(math.inf, self._write, self._folder, watch)

    async def _settle(self) -> None:
        for watch in self._known():
            await watch.settle()

    def _known(self) -> list[Watch]:
        """All watches, also those over versions that are not loaded."""
        with self._guard:
            return [*self._shown.values(), *self._unloaded.values()]

    def _restore(self, watch: Watch) -> None:
        if self._folder is None:
            return
        try:
            kept = self._folder.read(watch.name, watch.version)
            if kept is not None:
                watch.restore(kept)
        except ValueError as error:
            said = "%s version %d: its state in watch_folder is refused, and it begins anew: %s"
            log.warning(said, watch.name, watch.version, error)

    def _write(self, folder: StateFolder, watch: Watch) -> None:
        with self._writing:  # from the state to its file: no older one is written over a newer one
            kept = watch.kept()
            if kept is None:
                return
            try:
                folder.write(watch.name, watch.version, kept)
            except OSError as error:
                watch.is_changed = True
                said = "%s version %d: its state is not kept in watch_folder: %s"
                log.error(said, watch.name, watch.version, error.strerror)

    async def close(self) -> None:
        """Write what has changed, and leave the folder to other processes."""
        await self.save()
        if self._folder is not None:
            await self._threads.run(math.inf, self._leave, self._folder)

    def _leave(self, folder: StateFolder) -> None:
        with self._writing:
            folder.close()


def _held_out(manifest: AnyManifest) -> HeldOutLogProb:
    """Log_prob of held-out rows: distinct quantiles, each with the largest of its levels."""
    quantiles: dict[float, float] = {}
    calibration = manifest.calibration
    if calibration is not None and calibration.log_prob is not None:
        of_level = dict(zip(calibration.levels, calibration.log_prob, strict=True))
        for level in LEVELS:
            quantile = of_level.get(level)
            if quantile is None or not math.isfinite(quantile):
                continue
            if not quantiles or quantile >= max(quantiles):
                quantiles[quantile] = level
    return HeldOutLogProb(quantiles, manifest.held_out.log_prob, manifest.dimensions)
