"""What one of several processes that share a port has of the others."""

import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.processes.board import Board, State
from service.settings import Settings


@dataclass(frozen=True)
class Sockets:
    """The sockets that every worker takes connections of.

    Args:
        http: of all requests.
        control: of model control, where that has a port of its own.
        grpc: holds the port of gRPC, whose servers open sockets of their own there; None for none.
    """

    http: Sequence[socket.socket]
    control: Sequence[socket.socket] = ()
    grpc: socket.socket | None = None

    @property
    def grpc_port(self) -> int | None:
        """The port of gRPC."""
        return None if self.grpc is None else int(self.grpc.getsockname()[1])

    def close(self) -> None:
        """Listen there no more, in this process."""
        for one in (*self.http, *self.control, self.grpc):
            if one is not None:
                one.close()


@dataclass(frozen=True)
class WorkerProcess:
    """One worker, as its process sees itself.

    Args:
        number: from 0.
        board: memory that it shares with the others.
        channel: to the parent.
        sockets: that it takes connections of.
        unloaded: models that a caller has unloaded before it was started.
        spare_folder: for what has no folder of its own, of a server of a store elsewhere; it ends
            with the parent.
    """

    number: int
    board: Board
    channel: socket.socket
    sockets: Sockets
    unloaded: frozenset[str]
    spare_folder: Path | None = None

    @property
    def name(self) -> str:
        """By which the log knows it."""
        return f"worker {self.number}"

    @property
    def listens_later(self) -> bool:
        """Whether callers are better off without it until its models are loaded."""
        return State.READY in self.board.states

    def beat(self, is_listening: bool, is_ready: bool) -> None:
        """Say that the event loop goes round."""
        state = State.MADE
        if is_listening:
            state = State.READY if is_ready else State.LISTENING
        self.board.beat(self.number, state)

    def leave(self) -> None:
        """Say that the event loop is about to end."""
        self.board.leave(self.number)

    @property
    def others_ready(self) -> bool:
        """Whether every other worker that takes connections should be sent requests."""
        states = self.board.states
        del states[self.number]
        return State.LISTENING not in states


def spare_folder(settings: Settings) -> Path | None:
    """A new folder in which all workers may keep a store elsewhere; None where there is none."""
    if settings.cache is None and "://" in str(settings.store):
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="bijecta-workers-"))
    return None
