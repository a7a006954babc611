"""Callers of the gRPC port: raw messages, and frames of HTTP/2 by callers who do their worst."""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import numpy as np

from service.grpc.protos import messages
from tests.helpers.servers import Served

METHOD = "/inference.GRPCInferenceService/"
SAID = re.compile(r"gRPC on \S+:(\d+)")


def grpc_port(served: Served, seconds: float = 20) -> int:
    """Where a server listens, by its log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if match := next(filter(None, map(SAID.search, served.log)), None):
            return int(match[1])
        time.sleep(0.02)
    raise AssertionError("".join(served.log))


def infer_request(
    name: str,
    *inputs: tuple[str, Any],
    request_id: str = "",
    **parameters: float | str,
) -> Any:
    """A ModelInferRequest with raw contents."""
    request = messages.ModelInferRequest(model_name=name, id=request_id)
    for input_name, values in inputs:
        datatype = {"f4": "FP32", "f8": "FP64", "i8": "INT64"}[values.dtype.str[1:]]
        request.inputs.add(name=input_name, datatype=datatype, shape=values.shape)
        request.raw_input_contents.append(values.tobytes())
    for key, value in parameters.items():
        match value:
            case bool():
                request.parameters[key].bool_param = value
            case int():
                request.parameters[key].int64_param = value
            case float():
                request.parameters[key].double_param = value
            case _:
                request.parameters[key].string_param = value
    return request


def count(n: int) -> tuple[str, Any]:
    """The input of a sample."""
    return "n", np.array([n])


@dataclass
class RawCaller:
    """Sends bytes as messages, whatever they are."""

    channel: grpc.Channel

    def __call__(self, method: str, message: bytes, timeout: float = 30) -> bytes:
        call = self.channel.unary_unary(METHOD + method)
        answer: bytes = call(message, timeout=timeout)
        return answer

    def refused(self, method: str, message: bytes, **more: Any) -> tuple[grpc.StatusCode, str]:
        try:
            self(method, message, **more)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError("it was answered")

    def stream(self, *requests: Any, pause: float = 0) -> list[Any]:
        """What comes of the requests of one stream."""

        def sent() -> Iterator[bytes]:
            for request in requests:
                yield request if isinstance(request, bytes) else request.SerializeToString()
                time.sleep(pause)

        call = self.channel.stream_stream(METHOD + "ModelStreamInfer")
        return [messages.ModelStreamInferResponse.FromString(m) for m in call(sent(), timeout=60)]


class Http2Caller:
    """A connection whose caller sends what it likes, and reads what it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.port = port
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.connection.initiate_connection()
        self._flush()

    def begin(self, method: str) -> int:
        """Open a call; returns its number."""
        stream = self.connection.get_next_available_stream_id()
        heads = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", METHOD + method),
            (":authority", f"127.0.0.1:{self.port}"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self.connection.send_headers(stream, heads)
        self._flush()
        return stream

    def send(self, stream: int, message: bytes, announced: int | None = None) -> None:
        """Send a message, or the beginning of one that is announced to be longer."""
        size = len(message) if announced is None else announced
        self.connection.send_data(stream, b"\0" + size.to_bytes(4, "big") + message)
        self._flush()

    def trailers(self, stream: int) -> dict[str, str]:
        """The heads that end a call."""
        while data := self.socket.recv(2**16):
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                    found = {str(name): str(value) for name, value in event.headers or ()}
                    if event.stream_id == stream and "grpc-status" in found:
                        return found
            self._flush()
        raise AssertionError("the connection ended")

    def wait_for_answer(self) -> None:
        """Read until something of an answer has come."""
        while data := self.socket.recv(2**16):
            events = self.connection.receive_data(data)
            self._flush()
            if any(isinstance(event, h2.events.DataReceived) for event in events):
                return

    def wait_for_end(self) -> None:
        """Read what comes, without room for more, until the connection ends."""
        try:
            while data := self.socket.recv(2**16):
                self.connection.receive_data(data)
                self._flush()
        except ConnectionResetError:
            pass

    def close(self) -> None:
        self.socket.close()

    def _flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())
