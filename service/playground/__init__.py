"""The page at `/`: its files, and what it may do in a browser."""

from service.playground.assets import CONTENT_SECURITY_POLICY, INDEX, Asset, read_assets

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "INDEX",
    "Asset",
    "read_assets",
]
