"""What the process that loads a server is told, and what it says beside its records."""

from dataclasses import dataclass, field

# What stands for a status where there is none.
UNANSWERED, BROKEN, WRONG_LENGTH = 0, 1, 2


@dataclass(frozen=True)
class Plan:
    """What to do.

    Args:
        port, dimensions, rows: see `Requests`.
        server: its process.
        rate: requests a second of an open loop; 0 for a closed one.
        connections: of a closed loop; the most of an open one.
        seconds: to measure for.
        run_in: seconds before.
        seed: of the arrivals.
        cpus: that the generator may use; all where there are none.
    """

    port: int
    dimensions: int
    rows: int
    server: int
    rate: float
    connections: int
    seconds: float
    run_in: float
    seed: int = 0
    cpus: list[int] = field(default_factory=list)


@dataclass
class Summary:
    """What a load was like, beside its records.

    Args:
        start, end: of the time measured, on the records' clock.
        cores, server_cores: used meanwhile by the generator and by the server.
        all_cores: of the generator, from its first request to its last.
        connections: that were open at the end.
        starved: requests of an open loop that found no connection free, and waited for one.
        kept: numbers of the requests whose answers were kept.
    """

    start: float = 0.0
    end: float = 0.0
    cores: float = 0.0
    server_cores: float = 0.0
    all_cores: float = 0.0
    connections: int = 0
    starved: int = 0
    kept: list[int] = field(default_factory=list)
