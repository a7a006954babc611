"""The gRPC port of a server, from its opening to its end."""

import asyncio
import logging
import math
import socket
import time

import grpc

from service.grpc.admin import SCOPES, AdminCalls
from service.grpc.call import INFER, OTHER, SERVICE
from service.grpc.calls import Calls
from service.grpc.infer import InferCalls
from service.grpc.slow_callers import SlowCallers, break_off
from service.security import ASKING
from service.server import Server

log = logging.getLogger(__name__)

# Servers of gRPC that share the port, each with the connections that the kernel gives it. One takes
# calls one by one, some turns of the event loop for each, so that the engine never has two to run
# together. At 64 connections 1.1 calls shared a run with one server, 4.3 with four, 7 with eight;
# an empty handler took two thirds of the CPU time a call with four, and no less with sixteen.
MOST_SERVERS = 8
# Of a server; with fewer in all there are fewer servers, as their shares are never quite alike.
MIN_CONNECTIONS = 64

# Calls of one connection at a time; more wait at the caller.
MAX_CALLS_OF_CONNECTION = 128

# A caller whose machine is gone is found out after both.
PING_SECONDS, PONG_SECONDS = 60, 20

STOP_TICK_SECONDS = 0.02
# The port is closed when nobody has asked for so long, or not much later.
SILENCE_SECONDS, MAX_SILENCE_SECONDS = 0.25, 1.0

# Bits of core's compression algorithms: none and gzip.
ALGORITHMS = 1 << 0 | 1 << 2


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC's own says more than that a caller left before its answer."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "ExecuteBatchError"


class GrpcListener:
    """The Open Inference Protocol over gRPC, in the event loop of HTTP.

    Args:
        server: whose models are asked.
        shared_port: in place of that of the settings, where other processes have it too.
    """

    def __init__(self, server: Server, shared_port: int | None = None) -> None:
        self._server = server
        self._is_shared = shared_port is not None
        settings = server.settings
        self._slow = SlowCallers(
            most_slow=max(1, settings.max_inflight // settings.max_body),
            message_seconds=settings.idle_seconds,
            write_seconds=settings.write_seconds,
            most_streams=settings.max_grpc_streams,
            most_unread=settings.max_unsent_mib * 2**20,
            break_off=lambda peer: break_off(peer, self.port),
        )
        self._calls = Calls(server, self._slow, settings.max_connections)
        most = settings.max_connections
        self._count = max(1, min(MOST_SERVERS, most // MIN_CONNECTIONS))
        self._listeners: list[grpc.aio.Server] = []
        self.port = shared_port or 0
        """Where it listens."""

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be had.
        """
        settings = self._server.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
        credentials = self._credentials()
        try:
            if settings.grpc_port and not self._is_shared:
                _check_free(settings.host, settings.grpc_port)
            for _ in range(self._count):
                listener = grpc.aio.server(options=self._options())
                self._listeners.append(listener)
                # the first one finds a port where none is named
                where = f"{host}:{self.port or settings.grpc_port}"
                self.port = (
                    listener.add_insecure_port(where)
                    if credentials is None
                    else listener.add_secure_port(where, credentials)
                )
        except (OSError, RuntimeError):
            raise OSError(f"gRPC cannot listen on {address}: is it in use?") from None
        infer = InferCalls(self._server, self._slow)
        methods = {
            "ModelInfer": self._calls.unary(INFER, "ModelInfer", infer.infer, ASKING),
            "ModelStreamInfer": self._calls.stream(infer.answer_in_stream),
        }
        for name, answer in AdminCalls(self._server, self.port).methods().items():
            methods[name] = self._calls.unary(OTHER, name, answer, SCOPES[name])
        # of methods that are registered one by one, grpc.aio waits for each anew at every call
        handlers = (grpc.method_handlers_generic_handler(SERVICE, methods),)
        for listener in self._listeners:
            listener.add_generic_rpc_handlers(handlers)
            await listener.start()
        log.info("gRPC on %s:%d", host, self.port)

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and end those in progress; after so many seconds, in any case.

        Callers are told to ask another server before the port closes: of calls that arrive while
        it does, core ends some as cancelled.
        """
        if not self._listeners:
            return
        end = time.monotonic() + seconds
        self._calls.stop()
        while self._calls.count and time.monotonic() < end:
            self._slow.end_silent()
            await asyncio.sleep(STOP_TICK_SECONDS)
        end = min(end, time.monotonic() + MAX_SILENCE_SECONDS)
        while self._calls.silent_seconds < SILENCE_SECONDS and time.monotonic() < end:
            await asyncio.sleep(STOP_TICK_SECONDS)
        await self.abort()

    async def abort(self) -> None:
        """End at once."""
        await asyncio.gather(*(listener.stop(None) for listener in self._listeners))

    def _credentials(self) -> grpc.ServerCredentials | None:
        """The certificate of HTTP, asked for at each connection; None where there is no TLS."""
        if (tls := self._server.tls) is None:
            return None

        def shown() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration([tls.pair])

        return grpc.dynamic_ssl_server_credentials(shown(), shown)

    def _options(self) -> tuple[tuple[str, int], ...]:
        settings = self._server.settings
        return (
            ("grpc.so_reuseport", int(self._is_shared or self._count > 1)),
            ("grpc.max_receive_message_length", settings.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
            (
                "grpc.max_allowed_incoming_connections",
                math.ceil(settings.max_connections / self._count),
            ),
            ("grpc.server_handshake_timeout_ms", round(settings.head_seconds * 1000)),
            ("grpc.max_connection_idle_ms", round(settings.idle_seconds * 1000)),
            ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", PONG_SECONDS * 1000),
            # a stream that nobody reads from holds 64 KiB, however fast the connection
            ("grpc.http2.bdp_probe", 0),
            # core would decompress a message to any size
            ("grpc.per_message_decompression", 0),
            ("grpc.compression_enabled_algorithms_bitset", ALGORITHMS),
        )


def _check_free(host: str, port: int) -> None:
    """Check that nobody listens on a port; those who share one are not told of each other.

    Raises:
        OSError: somebody does.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
