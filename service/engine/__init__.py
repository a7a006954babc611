"""The engine: many small requests in few runs of a device."""

from service.engine.engine import Engine

__all__ = ["Engine"]
