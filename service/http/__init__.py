"""The HTTP application, and the process that serves it."""

from service.http.app import create_app
from service.http.graceful_shutdown import Process

__all__ = [
    "Process",
    "create_app",
]
