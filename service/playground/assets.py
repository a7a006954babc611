"""The files of the page, read once: what is not among them cannot be asked for."""

import hashlib
import html
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "static"

INDEX = "index.html"

# The page takes nothing from elsewhere, and runs nothing that is not a file of its own.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'self'"
)

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""By the end of a file's name; a file of another kind is not shown."""


class Asset(NamedTuple):
    """A file of the page.

    Args:
        content: its bytes.
        media_type: what they are.
        etag: another one for other bytes (RFC 9110, 8.8.3).
    """

    content: bytes
    media_type: str
    etag: str


def read_assets(root_path: str) -> dict[str, Asset]:
    """Every file of the page, by its path in the folder.

    Args:
        root_path: below which a proxy shows the server: the page's URLs are relative to it,
            whether its own ends with a slash or not.
    """
    assets = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and (media_type := MEDIA_TYPES.get(path.suffix)) is not None:
            content = path.read_bytes()
            name = path.relative_to(FOLDER).as_posix()
            if name == INDEX and root_path:
                base = f'<head>\n    <base href="{html.escape(root_path)}/" />'
                content = content.replace(b"<head>", base.encode(), 1)
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            assets[name] = Asset(content, media_type, etag)
    return assets
