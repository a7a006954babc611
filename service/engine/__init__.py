"""The engine: many small requests in few runs of a device."""

from service.engine.engine import Engine
from service.engine.scheduler import Queue

__all__ = [
    "Engine",
    "Queue",
]
