"""Several processes that answer on one port: who starts them, and what they know of each other.

A parent (`Supervisor`) opens the sockets and starts workers by fork; each takes connections of the
same sockets. They share a few numbers in memory (`Board`), and ask each other through the parent
(`Hub` there, `Peers` in a worker).
"""

from service.processes.board import Board, State
from service.processes.hub import CHANGE
from service.processes.peers import Peers, PeersError
from service.processes.supervisor import STARTUP_FAILURE, Supervisor
from service.processes.worker import WorkerProcess

__all__ = [
    "CHANGE",
    "STARTUP_FAILURE",
    "Board",
    "Peers",
    "PeersError",
    "State",
    "Supervisor",
    "WorkerProcess",
]
