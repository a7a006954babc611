"""The Model Context Protocol: what language models may ask, over HTTP at /mcp."""

from service.mcp.server import ToolServer

__all__ = [
    "ToolServer",
]
