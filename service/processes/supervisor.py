"""The parent: it starts workers, starts others in place of those that end, and ends them all."""

import logging
import os
import selectors
import shutil
import signal
import socket
import time
from dataclasses import dataclass

from service.processes.board import Board, State
from service.processes.hub import Hub, Link
from service.processes.sockets import open_sockets
from service.processes.worker import WorkerProcess, spare_folder
from service.settings import Settings

log = logging.getLogger(__name__)

# Exit code of a server that cannot listen; with this one and 1 a worker says that it cannot start.
STARTUP_FAILURE = 3

# Seconds before a worker is started in place of one that has ended, doubled each time; one that
# has lived for so long begins anew with the first.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 60.0
HEALTHY_SECONDS = 60.0

# A worker whose event loop has stood still for so long hangs, and is killed. More than the other
# number between two looks is time in which nobody ran, as in a container that is paused.
HANG_SECONDS = 60.0
MAX_STEP_SECONDS = 1.0

# Beyond the time that a worker gives itself to stop.
SPARE_SECONDS = 10.0

TICK_SECONDS = 0.1

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(eq=False)
class _Place:
    """One worker's place, which one process after the other has.

    Args:
        number: from 0.
        process: of the worker; 0 where there is none.
        link: to it.
        started: when that was, on `time.monotonic`'s clock.
        pause: seconds before the last start.
        due: when one is to be started; None where one runs.
        starts: how many there have been.
        beat: when its event loop last came round.
        silent: seconds since then in which the parent ran as well.
    """

    number: int
    process: int = 0
    link: Link | None = None
    started: float = 0.0
    pause: float = 0.0
    due: float | None = 0.0
    starts: int = 0
    beat: float = 0.0
    silent: float = 0.0


class Supervisor:
    """The parent of some workers.

    It imports none of what serves, and does nothing but wait. A worker is made by fork, with the
    settings, the sockets and the shared memory as they are: `run` returns in it.

    The first worker is started alone, until it can be made of its settings: what is wrong with them
    is said once.

    Args:
        settings: of the server.

    Raises:
        OSError: an address cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sockets = open_sockets(settings)
        self._board = Board(settings.workers)
        self._hub = Hub(lambda worker: self._board.last_beat(worker) > 0)
        self._places = [_Place(number) for number in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._signals, self._signalled = socket.socketpair()
        self._has_been_ready = False
        self._has_said_where = False
        self._end: float | None = None  # when those that still run are killed
        self._code = 0
        self._looked = time.monotonic()
        self._spare_folder = spare_folder(settings)

    def run(self) -> WorkerProcess | int:
        """Look after the workers until all have ended; returns the exit code.

        In a worker it returns at once, and gives what the worker has of the others.
        """
        for end in (self._signals, self._signalled):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        for number in (*STOPPING, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the number is read from the socket
        self._selector.register(self._signals, selectors.EVENT_READ)
        while True:
            self._reap()
            if self._end is not None and not any(place.process for place in self._places):
                if self._settings.uds is not None:
                    self._settings.uds.unlink(missing_ok=True)
                if self._spare_folder is not None:
                    shutil.rmtree(self._spare_folder, ignore_errors=True)
                return self._code
            if (worker := self._start_due()) is not None:
                return worker
            self._look_after()
            self._wait()

    def _start_due(self) -> WorkerProcess | None:
        """Start the workers whose time has come; returns what a new one is to have, in it."""
        now = time.monotonic()
        for place in self._places:
            if self._end is not None or place.due is None or now < place.due:
                continue
            if place.number and not self._can_be_made():
                continue
            if (worker := self._start(place)) is not None:
                return worker
        return None

    def _can_be_made(self) -> bool:
        """Whether a worker could be made of the settings."""
        return self._has_been_ready or max(self._board.states) >= State.MADE

    def _start(self, place: _Place) -> WorkerProcess | None:
        ours, its = socket.socketpair()
        # a signal must not come between the fork and the end of our handlers there
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        process = os.fork()
        if process == 0:
            self._leave(ours)
            unloaded = frozenset(self._hub.unloaded)
            return WorkerProcess(
                place.number, self._board, its, self._sockets, unloaded, self._spare_folder
            )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        its.close()
        ours.setblocking(False)
        place.process, place.link, place.due = process, Link(place.number, ours), None
        place.started = time.monotonic()
        place.starts += 1
        self._board.began(place.number, process)
        self._hub.add(place.link)
        self._selector.register(ours, selectors.EVENT_READ, place)
        if place.starts > 1:
            self._board.restarted()
        return None

    def _leave(self, ours: socket.socket) -> None:
        """Give up, in a new worker, what is the parent's alone."""
        signal.set_wakeup_fd(-1)
        for number in (*STOPPING, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        for end in (self._signals, self._signalled, ours):
            end.close()
        for place in self._places:
            if place.link is not None:
                place.link.channel.close()
        os.setpgid(0, 0)  # a terminal's signals are for the parent, which passes them on
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _wait(self) -> None:
        """Wait for signals and messages, and take them."""
        late = self._hub.end_late()
        seconds = TICK_SECONDS if late is None else min(TICK_SECONDS, late)
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                for number in self._signals.recv(1024):
                    if number in STOPPING:
                        self._stop(number)
                continue
            link = key.data.link
            if link is None or key.fileobj is not link.channel:
                continue
            messages = link.read()
            if messages is None:
                self._unlink(key.data)
                continue
            for message in messages:
                self._hub.take(link, message)
        for place in self._places:
            if place.link is not None:
                place.link.flush()

    def _look_after(self) -> None:
        """Say where the server is, and kill workers that hang or that stop too slowly."""
        now, states = time.monotonic(), self._board.states
        step, self._looked = min(now - self._looked, MAX_STEP_SECONDS), now
        self._has_been_ready = self._has_been_ready or State.READY in states
        if not self._has_said_where and max(states) >= State.LISTENING:
            self._has_said_where = True
            self._say_where()
        for place in self._places:
            if not place.process:
                continue
            if self._end is not None and now >= self._end:
                log.error("worker %d does not end: it is killed", place.number)
                os.kill(place.process, signal.SIGKILL)
            elif self._hangs(place, step):
                said = "worker %d has stood still for %g s: it is killed"
                log.error(said, place.number, HANG_SECONDS)
                os.kill(place.process, signal.SIGKILL)

    def _hangs(self, place: _Place, step: float) -> bool:
        """Whether a worker's event loop stands still, so many seconds after the last look."""
        beat = self._board.last_beat(place.number)
        place.silent = place.silent + step if beat and beat == place.beat else 0.0
        place.beat = beat
        return place.silent > HANG_SECONDS

    def _say_where(self) -> None:
        """Say it as uvicorn does of one process."""
        settings = self._settings
        if settings.uds is not None:
            where = f"unix socket {settings.uds}"
        else:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            scheme = "http" if settings.tls_certificate is None else "https"
            where = f"{scheme}://{host}:{self._sockets.http[0].getsockname()[1]}"
        count = settings.workers
        log.info("Uvicorn running on %s (Press CTRL+C to quit): %d workers", where, count)

    def _reap(self) -> None:
        """Take note of processes that have ended; some may be of those that workers left behind."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            for place in self._places:
                if place.process == process:
                    self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        """A worker has ended: stop, or start another."""
        self._unlink(place)
        place.process = 0
        self._board.ended(place.number)
        if self._end is not None:
            self._code = self._code or (code if code >= 0 else 128 - code)
            return
        if not self._has_been_ready and code in (1, STARTUP_FAILURE):
            self._code = code
            self._stop(signal.SIGTERM)
            return
        lived = time.monotonic() - place.started
        is_healthy = lived >= HEALTHY_SECONDS
        place.pause = FIRST_PAUSE if is_healthy else min(2 * place.pause, LONGEST_PAUSE)
        place.pause = max(place.pause, FIRST_PAUSE)
        place.due = time.monotonic() + place.pause
        how = f"ended with code {code}" if code >= 0 else f"was killed by signal {-code}"
        said = "worker %d %s after %.1f s; another one is started in %g s"
        log.error(said, place.number, how, lived, place.pause)

    def _unlink(self, place: _Place) -> None:
        if place.link is not None:
            self._selector.unregister(place.link.channel)
            self._hub.remove(place.link)
            place.link.channel.close()
            place.link = None

    def _stop(self, number: int) -> None:
        """Tell all workers to stop: the second time, at once."""
        settings = self._settings
        if self._end is None:
            seconds = settings.drain_seconds + settings.stop_seconds + SPARE_SECONDS
            self._end = time.monotonic() + seconds
            self._board.stop()
            self._sockets.close()  # the workers listen on as long as they want to
        for place in self._places:
            if place.process:
                os.kill(place.process, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
