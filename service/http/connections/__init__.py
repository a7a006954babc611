"""HTTP connections with limits on what a caller may take of them, for uvicorn."""

from service.http.connections.exchange import Exchange
from service.http.connections.limits import ConnectionLimits
from service.http.connections.listener import SharedListener, listen_with_copies, stop_accepting
from service.http.connections.protocol import Connection
from service.http.connections.registry import Connections

__all__ = [
    "Connection",
    "ConnectionLimits",
    "Connections",
    "Exchange",
    "SharedListener",
    "listen_with_copies",
    "stop_accepting",
]
