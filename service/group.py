"""What a server has in common with the other workers; alone, everything is its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from service.bundle import BundleError
from service.errors import ModelRefusedError, ServiceError, UnavailableError, UnknownModelError
from service.inflight import InflightBudget, SharedInflightBudget
from service.metrics import Metrics, ProcessFigures, SharedFigures, WorkerGauges
from service.processes import CHANGE, Peers, PeersError, State, WorkerProcess
from service.security import SharedRates
from service.store import Store
from service.watching import Watching, of_all_streams

# How long a change waits for all workers: a load keeps others waiting for half a minute at most.
CHANGE_SECONDS = 120.0
# How long a load waits for a store elsewhere to be looked at; then it is of what is there.
FETCH_SECONDS = 30.0

ERRORS = {kind.reason: kind for kind in (UnknownModelError, ModelRefusedError, UnavailableError)}

STATES = {
    State.ABSENT: "starting",
    State.MADE: "starting",
    State.LISTENING: "listening",
    State.READY: "ready",
}


class Group:
    """The workers of a server, as one of them has to do with them.

    What changes something (`load`, `unload`) is done by all of them before it returns. What is
    known of all (`ask`, `exposition`) is what each answers within two seconds.

    Args:
        worker: this one; None where there are no others.
    """

    def __init__(self, worker: WorkerProcess | None) -> None:
        self._worker = worker
        self._peers = None if worker is None else Peers(worker.number, worker.channel)
        self._is_told = False  # that the store has changed

    @property
    def size(self) -> int:
        """How many workers there are."""
        return 1 if self._worker is None else self._worker.board.workers

    @property
    def unloaded(self) -> frozenset[str]:
        """Models that a caller has unloaded before this worker was started."""
        return frozenset() if self._worker is None else self._worker.unloaded

    @property
    def others_are_ready(self) -> bool:
        """Whether every other worker that takes connections should be sent requests."""
        return self._worker is None or self._worker.others_ready

    def metrics(self) -> Metrics:
        """The metrics, of which counters and histograms are those of all workers."""
        if self._worker is None:
            return Metrics()
        board = self._worker.board
        figures = SharedFigures(self._worker.number, board.figures)
        metrics = Metrics(figures, ProcessFigures(lambda: board.processes))

        def states() -> Mapping[str, int]:
            return Counter(STATES[state] for state in board.states)

        metrics.registry.register(WorkerGauges(states, lambda: board.restarts))
        return metrics

    def rates(self) -> SharedRates | None:
        """What is left of the rates of keys; None where no other worker uses them."""
        if self._worker is None:
            return None
        board = self._worker.board
        return SharedRates(board.rates, board.rates_lock)

    def inflight(self, limit: int) -> InflightBudget:
        """The memory of requests in progress, in bytes, of all workers."""
        if self._worker is None:
            return InflightBudget(limit)
        number, board = self._worker.number, self._worker.board
        return SharedInflightBudget(limit, lambda held: board.hold(number, held), board.held_by_all)

    def begin(
        self,
        store: Store,
        metrics: Metrics,
        watching: Watching,
        statistics: Callable[[str, str], Awaitable[Any]],
        changed: asyncio.Event,
        fetch: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Say what the other workers have to do with.

        Args:
            store, metrics, watching: of this one.
            statistics: of a model of the Open Inference Protocol, by name and version.
            changed: is set where another one has found that the store has changed.
            fetch: brings the folder of the store up to date, where it is kept like a store
                elsewhere.
        """
        self._store = store
        self._metrics = metrics
        self._watching = watching
        self._changed = changed
        self._fetch = fetch
        if self._peers is None:
            return
        store.on_change = self._say_change
        handlers: dict[str, Callable[..., Awaitable[Any]]] = {
            CHANGE: self._change,
            "fetch": self._fetch_own,
            "gauges": self._gauges,
            "look": self._look,
            "statistics": statistics,
            "watch": self._watch,
            "reset": self._reset,
        }
        for kind, handler in handlers.items():
            self._peers.on(kind, handler)

    def on_orphaned(self, stop: Callable[[], None]) -> None:
        """Have a function called where the parent is gone."""
        if self._peers is not None:
            self._peers.on_orphaned = stop

    async def keep(self) -> None:
        """Answer the other workers, until this is cancelled."""
        if self._peers is not None:
            await self._peers.keep()

    async def load(self, name: str) -> None:
        """Load a model anew in every worker, after a look elsewhere; see `Store.load`."""
        if self._fetch is not None:
            await self._fetch_own()
            if self._peers is not None:  # one of the workers keeps the folder
                await self._peers.ask("fetch", skips_errors=True, seconds=FETCH_SECONDS)
        await self._have_changed("load", name)

    async def unload(self, name: str) -> None:
        """Unload a model in every worker; see `Store.unload`."""
        await self._have_changed("unload", name)

    async def ask(self, kind: str, *arguments: Any) -> list[Any]:
        """What the other workers answer, as far as they can."""
        if self._peers is None:
            return []
        return await self._peers.ask(kind, *arguments, skips_errors=True)

    async def watch_of(self, name: str, version: int) -> dict[str, Any]:
        """What the watches of all workers over a model say.

        Raises:
            ServiceError: there is no such model, or it has no watch.
        """
        own = await self._watch(name, version)
        return of_all_streams([own, *await self.ask("watch", name, version)])

    async def reset_watch(self, name: str, version: int) -> None:
        """Begin the watches of all workers over a model anew.

        Raises:
            ServiceError: there is no such model, or it has no watch.
        """
        await self._reset(name, version)
        if self._peers is not None:
            asked = self._peers.ask("reset", name, version, seconds=CHANGE_SECONDS)
            try:
                await asked
            except PeersError as error:
                raise _rebuilt(error) from None

    @contextmanager
    def looking(self) -> Iterator[bool]:
        """The store is looked through; gives whether that counts as one look more.

        It does not where another worker has said that the store has changed, and others are not
        told of what that one has found.
        """
        yield not self._is_told
        self._is_told = False

    async def exposition(self) -> bytes:
        """The metrics of all workers, as Prometheus reads them."""
        if self._peers is None:
            return self._metrics.exposition()
        return self._metrics.exposition(await self.ask("gauges"))

    async def _have_changed(self, what: str, name: str) -> None:
        if self._peers is None:
            await self._change(what, name)
            return
        asked = self._peers.ask(CHANGE, what, name, everyone=True, seconds=CHANGE_SECONDS)
        try:
            answers = await asked
        except PeersError as error:
            raise _rebuilt(error) from None
        if len(answers) == 0:
            raise UnavailableError("the workers do not answer each other")

    async def _fetch_own(self) -> None:
        if self._fetch is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._fetch()

    async def _change(self, what: str, name: str) -> None:
        try:
            await (self._store.load if what == "load" else self._store.unload)(name)
        except BundleError as error:
            raise ModelRefusedError(str(error)) from None

    async def _gauges(self) -> Any:
        return self._metrics.gauges()

    async def _look(self) -> None:
        """Look through the store at once: another worker has found that it has changed."""
        self._is_told = True
        self._changed.set()

    def _say_change(self) -> None:
        """Have the other workers look through the store as well, as it has changed."""
        if self._peers is not None and not self._is_told:
            self._peers.tell("look")

    async def _watch(self, name: str, version: int) -> dict[str, Any]:
        with await self._store.get(name, version) as model:
            return await model.tested_watch.describe()

    async def _reset(self, name: str, version: int) -> None:
        with await self._store.get(name, version) as model:
            await model.tested_watch.reset()
            await self._watching.save()


def _rebuilt(error: PeersError) -> ServiceError:
    """The error of another worker, as this one's."""
    return ERRORS.get(error.reason, UnavailableError)(error.detail)
