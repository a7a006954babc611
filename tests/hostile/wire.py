"""HTTP/1.1 as bytes: what no library would send, and answers as they come."""

import asyncio
import socket
import struct
from dataclasses import dataclass

HOST = "127.0.0.1"
PIECE = 2**18


@dataclass(frozen=True)
class Reply:
    """An answer.

    Args:
        status: of its first line.
        headers: by lower-case name; the last where one is repeated.
        body: whole, of chunks too.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def request(
    path: str,
    body: bytes = b"",
    kind: str = "application/json",
    method: str = "POST",
    **headers: str,
) -> bytes:
    """A request, whole; `_` in the names of headers stands for `-`."""
    return head(path, len(body), kind, method, **headers) + body


def head(
    path: str,
    length: int | None,
    kind: str = "application/json",
    method: str = "POST",
    **headers: str,
) -> bytes:
    """The head of a request, with its empty line; without a length its body comes in chunks."""
    lines = [f"{method} {path} HTTP/1.1"]
    fields = {"Host": HOST, "Content-Type": kind}
    if length is None:
        fields["Transfer-Encoding"] = "chunked"
    elif length or method == "POST":
        fields["Content-Length"] = str(length)
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Connection:
    """A connection to the server.

    Args:
        reader: of the stream.
        writer: of the stream.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, receive_bytes: int | None = None) -> "Connection":
        """Connect.

        Args:
            port: of the server.
            receive_bytes: what the kernel may keep of what is not read; None for its usual.
        """
        sock = socket.socket()
        try:
            sock.setblocking(False)
            if receive_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
            return cls(*await asyncio.open_connection(sock=sock, limit=2**14))
        except BaseException:
            sock.close()
            raise

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed it, and all that came has been read."""
        return self._reader.at_eof()

    async def send(self, data: bytes) -> None:
        """Send bytes, a piece at a time, as fast as they are taken."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            self._writer.write(bytes(view[start : start + PIECE]))
            await self._writer.drain()

    async def read(self, most: int) -> bytes:
        """Some bytes of what has come; none at the end."""
        return await self._reader.read(most)

    async def reply(self) -> Reply:
        """The next answer that is not informational.

        Raises:
            ConnectionError: the connection ended before the answer did.
        """
        while True:
            status, headers = await self._head()
            if status >= 200:
                return Reply(status, headers, await self._body(headers))

    async def drained_status(self) -> int:
        """The status of the next answer, whose body has a length; the body is read and dropped.

        Raises:
            ConnectionError: the connection ended before the answer did.
        """
        status, headers = await self._head()
        left = int(headers.get("content-length", 0))
        while left:
            piece = await self.read(min(left, PIECE))
            if not piece:
                raise ConnectionResetError("the connection ended before the answer did")
            left -= len(piece)
        return status

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the connection ended before the answer did")
        return line.strip()

    async def _head(self) -> tuple[int, dict[str, str]]:
        status = int((await self._line()).split()[1])
        headers: dict[str, str] = {}
        while line := await self._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    async def _body(self, headers: dict[str, str]) -> bytes:
        try:
            if headers.get("transfer-encoding") != "chunked":
                return await self._reader.readexactly(int(headers.get("content-length", 0)))
            chunks = []
            while size := int(await self._line(), 16):
                chunks.append(await self._reader.readexactly(size))
                await self._line()
            await self._line()
            return b"".join(chunks)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the connection ended before the answer did") from error

    def half_close(self) -> None:
        """Say that nothing more is sent; answers can still come."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Break the connection off, so that the server gets RST and not FIN."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection; what has not been sent is dropped."""
        self._writer.transport.abort()
