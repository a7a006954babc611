"""Pages and their files, read once: what is not among them cannot be asked for."""

import gzip
import hashlib
import html
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "static"
"""Of the page at `/`."""

DOCS_FOLDER = Path(__file__).parent / "docs"

INDEX = "index.html"

# A page takes nothing from elsewhere, and runs nothing that is not a file of its own.
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
    """A file of a page.

    Args:
        content: its bytes.
        compressed: these by gzip.
        media_type: what they are.
        sha256: of the bytes.
    """

    content: bytes
    compressed: bytes
    media_type: str
    sha256: str


class Page(NamedTuple):
    """A page of the server.

    Args:
        name: its label in the metrics; its files are shown below `/name/`.
        path: where it is shown.
        folder: its files.
        security_policy: what it may do in a browser (Content-Security-Policy).
    """

    name: str
    path: str
    folder: Path
    security_policy: str = CONTENT_SECURITY_POLICY

    @property
    def files_path(self) -> str:
        """Below which its files are shown."""
        return f"/{self.name}/"


@cache
def read_assets(page: Page, root_path: str) -> dict[str, Asset]:
    """Every file of a page, by its path in the folder.

    Args:
        page: whose files.
        root_path: below which a proxy shows the server: URLs of the page at `/` are relative to it,
            whether its own ends with a slash or not.
    """
    assets = {}
    for path in sorted(page.folder.rglob("*")):
        if path.is_file() and (media_type := MEDIA_TYPES.get(path.suffix)) is not None:
            content = path.read_bytes()
            name = path.relative_to(page.folder).as_posix()
            if name == INDEX and root_path and page.path == "/":
                base = f'<head>\n    <base href="{html.escape(root_path)}/" />'
                content = content.replace(b"<head>", base.encode(), 1)
            # 280 kB of the page become 112, and 1,927 kB of the documentation 490, in 0.1 s
            compressed = gzip.compress(content, 6, mtime=0)
            sha256 = hashlib.sha256(content).hexdigest()
            assets[name] = Asset(content, compressed, media_type, sha256)
    return assets


PLAYGROUND = Page("playground", "/", FOLDER)
"""Models to try in a browser."""

DOCS = Page("docs", "/docs", DOCS_FOLDER)
"""What can be asked over HTTP: Swagger UI on `/openapi.json`."""

PAGES = (PLAYGROUND, DOCS)
