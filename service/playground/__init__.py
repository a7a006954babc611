"""The pages at `/` and `/docs`: their files, and what they may do in a browser."""

from service.playground.assets import DOCS, INDEX, PAGES, PLAYGROUND, Page, read_assets

__all__ = [
    "DOCS",
    "INDEX",
    "PAGES",
    "PLAYGROUND",
    "Page",
    "read_assets",
]
