"""Opening the sockets that workers share."""

import socket
import stat
from pathlib import Path

from service.processes.worker import Sockets
from service.settings import Settings


def open_sockets(settings: Settings) -> Sockets:
    """Bind the addresses of a server; its workers listen there, and nobody does until then.

    Raises:
        OSError: an address cannot be had.
    """
    if settings.uds is not None:
        http = [_unix_socket(settings.uds)]
    else:
        http = _tcp_sockets(settings.host, settings.port)
    control: list[socket.socket] = []
    if settings.control_port is not None:
        control = _tcp_sockets(settings.control_host, settings.control_port)
    grpc = None
    if settings.grpc_port is not None:
        grpc = _reserved_socket(settings.host, settings.grpc_port)
    return Sockets(http, control, grpc)


def _tcp_sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host; port 0 picks a free one."""
    sockets = []
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        one = socket.socket(family, kind, protocol)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            one.bind((address[0], port, *address[2:]))
        except OSError as error:
            raise OSError(error.errno, f"{address[0]}:{port}: {error.strerror}") from None
        port = one.getsockname()[1]
        sockets.append(one)
    return sockets


def _unix_socket(path: Path) -> socket.socket:
    """A socket of a path, in place of one that nobody listens on any more."""
    rights = 0o666
    try:
        found = path.stat().st_mode
        rights = stat.S_IMODE(found)
        if stat.S_ISSOCK(found):
            path.unlink()
    except FileNotFoundError:
        pass
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(str(path))
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror or error}") from None
    path.chmod(rights)
    return one


def _reserved_socket(host: str, port: int) -> socket.socket:
    """A socket that holds a port for those that share it, and takes no connections.

    Those who share a port are not told of each other, but who does not share it is.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    one = socket.socket(family, kind, protocol)
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(address)
    except OSError:
        one.close()
        text = f"gRPC cannot listen on {address[0]}:{port}: is it in use?"
        raise OSError(text) from None
    return one
