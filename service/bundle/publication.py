"""Writing a bundle into a store: the next version of a name, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bundle.files import MANIFEST, checksum, sha256
from service.bundle.names import next_version


def publish(
    store: Path, name: str, files: Mapping[str, bytes | Path], manifest: Mapping[str, Any]
) -> Path:
    """Write files and a manifest as the next version of a bundle; a store never holds half a one.

    Args:
        store: folder of bundles, created if it is missing.
        name: of the bundle.
        files: by file name, contents or files to copy.
        manifest: all its keys but name, version, files and checksum.

    Returns:
        The folder store/<name>/<version>.

    Raises:
        OSError: it cannot be written.
    """
    parent = store / name
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    partial.chmod(0o755)
    try:
        for file_name, content in files.items():
            _write(partial / file_name, content)
        checksums = {file_name: sha256(partial / file_name) for file_name in files}
        whole = {**manifest, "name": name, "files": checksums}
        while True:
            version = next_version(parent)
            whole["version"] = version
            whole["checksum"] = checksum(whole)
            _write(partial / MANIFEST, json.dumps(whole, indent=2).encode())
            try:
                partial.rename(parent / str(version))
            except OSError:
                if not (parent / str(version)).exists():
                    raise
                continue  # another export took this number first
            return parent / str(version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, content: bytes | Path) -> None:
    with path.open("wb") as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file)
        else:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
