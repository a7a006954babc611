"""Every attacker, by subject; importing this registers them all."""

from tests.hostile.attacker import ATTACKERS
from tests.hostile.attackers import (
    arrow_bodies,
    browsers,
    bundles,
    compressed_bodies,
    connections,
    grpc_calls,
    heads,
    json_bodies,
    log,
    npy_bodies,
    protocol_v2,
    readers,
    scores,
    table_bodies,
    upgrades,
    work,
)

__all__ = [
    "ATTACKERS",
    "arrow_bodies",
    "browsers",
    "bundles",
    "compressed_bodies",
    "connections",
    "grpc_calls",
    "heads",
    "json_bodies",
    "log",
    "npy_bodies",
    "protocol_v2",
    "readers",
    "scores",
    "table_bodies",
    "upgrades",
    "work",
]
