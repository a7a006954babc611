"""The HTTP application, and the process that serves it."""

from service.http.lifecycle import Process

__all__ = [
    "Process",
]
