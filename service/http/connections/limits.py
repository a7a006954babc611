"""What a connection may take of the server: bytes, fields, chunks and time."""

from dataclasses import dataclass

from service.settings import Settings

# Of the request line and all header fields of one request; trailers may have as much.
MAX_HEAD_BYTES = 2**16
MAX_HEAD_FIELDS = 200

# Larger heads count as unread bytes until their request is answered.
SMALL_HEAD_BYTES = 4096

# A chunked body may have so many chunks of any size; beyond them they must hold so much each, on
# average. Each chunk takes about a microsecond of the event loop, however little it holds.
FREE_CHUNKS = 4096
MIN_CHUNK_BYTES = 32

# Bytes of the size line of a chunk, with its extensions.
MAX_CHUNK_LINE_BYTES = 256

# Bytes of a body that wait for the application to read them, before no more are read.
MAX_WAITING_BODY_BYTES = 2**16

# Bytes of incomplete heads and of requests that were sent ahead, of all connections together; a
# connection that would exceed it is closed. Python's objects for them take up to three times that.
MAX_UNREAD_BYTES = 64 * 2**20

# An answer is given to the transport in pieces of this size, each when most of the last is taken.
PIECE_BYTES = 2**16

# A reader of an answer takes at least so much in `write_seconds`.
MIN_TAKEN_BYTES = 2**14

# A connection that is closed before its request has come whole is read for so long, so that the
# caller sees the answer: what arrives at a closed socket makes the kernel take the answer back.
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES = 64 * 2**20
# The same where what comes is no HTTP, or not within the limits of its framing.
MAX_MALFORMED_LINGER_BYTES = 2**20

# What is left of a body that was answered before its end: less is read, more closes the connection.
MAX_SKIPPED_BYTES = 2**16

# After the stop, a connection that has asked for nothing for so long is closed.
STOP_SILENT_SECONDS = 1.0

# Requests that were sent ahead of their turn and are answered at once, of all connections: others,
# who wait for an answer before they ask again, do not wait for a thousand of these.
MAX_AHEAD_ANSWERED = 16

# Requests that are begun at a time in an overload: see `Admission`. 64 small ones take 6 ms, in
# which callers wait for their refusals.
MAX_BEGUN_AT_ONCE = 64
# It is one if turns of the event loop take so long, for so long: a thousand callers who ask small
# questions as fast as they are answered make turns of 0.1 s.
TURN_SECONDS = 0.125
STRAIN_SECONDS = 0.25
REVIEW_SECONDS = 1.0
REFUSED_SHARE = 0.01

# What is always begun: an operator may ask for it because of the load.
ALWAYS_BEGUN = "/v2/repository/"

# How often all connections are looked over.
TICK_SECONDS = 0.25

# So many are closed before requests have their turn: each takes 50 µs, and a look 2.
CLOSED_AT_ONCE = 64


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits that can be set.

    Args:
        head_seconds: from the first byte of a request to the end of its head.
        idle_seconds: of silence, between requests and within a body.
        write_seconds: in which a reader takes at least `MIN_TAKEN_BYTES` of its answer.
        max_connections: open at once.
        max_unsent: bytes that large answers may hold together until they are taken.
    """

    head_seconds: float = 30.0
    idle_seconds: float = 65.0
    write_seconds: float = 60.0
    max_connections: int = 2048
    max_unsent: int = 192 * 2**20

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """The limits that settings state."""
        return cls(
            settings.head_seconds,
            settings.idle_seconds,
            settings.write_seconds,
            settings.max_connections,
            settings.max_unsent_mib * 2**20,
        )
