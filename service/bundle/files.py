"""The bundle format: what training writes and the service reads. Needs neither torch nor onnx.

store/<name>/<version>/encode.onnx     x[, context] → z, log_prob
store/<name>/<version>/decode.onnx     z[, context] → x, log_prob
store/<name>/<version>/manifest.json
store/<name>/<version>/additions.json  keys of the manifest that format 1 did not begin with

Servers of before there were additions refuse a manifest with a key that they do not know. Of the
files that it lists they only compare the checksums, so that they pass the additions over.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from service.bundle.manifest import FORMAT_VERSION, VERSION, Manifest

ENCODE, DECODE, MANIFEST = "encode.onnx", "decode.onnx", "manifest.json"
ADDITIONS = "additions.json"
ADDED_KEYS = ("columns",)
"""The keys of `Manifest` that stand in `ADDITIONS`; others there are for servers to come."""

Fingerprint = tuple[tuple[int, int, int] | None, ...]


class BundleError(Exception):
    """A bundle that cannot be trusted or read; the text says what was expected and what came."""


def read(folder: Path) -> Manifest:
    """Read a bundle's manifest and check every file against it.

    Args:
        folder: store/<name>/<version>.

    Raises:
        BundleError: a file is missing or altered, the manifest is damaged or of another format
            version, or its name and version are not those of its folder.
    """
    manifest = _read_manifest(folder / MANIFEST)
    place = (folder.parent.name, folder.name)
    if (manifest.name, str(manifest.version)) != place:
        raise BundleError(
            f"{folder} holds the manifest of {manifest.name} version {manifest.version}"
        )
    for name in (ENCODE, DECODE):
        if name not in manifest.files:
            raise BundleError(f"{folder / MANIFEST} lists no checksum for {name}")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        if (actual := sha256(path)) != expected:
            raise BundleError(f"{path} is altered: expected sha256 {expected}, found {actual}")
    return _with_additions(manifest, folder) if ADDITIONS in manifest.files else manifest


def _read_manifest(path: Path) -> Manifest:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is missing") from None
    try:
        header = _Header.model_validate_json(content)
        if header.format_version != FORMAT_VERSION:
            raise BundleError(
                f"{path} has format_version {header.format_version}; this program reads "
                f"{FORMAT_VERSION}: export the model again, or use a matching Bijecta"
            )
        manifest = Manifest.model_validate_json(content)
        if (actual := checksum(json.loads(content))) != manifest.checksum:
            raise BundleError(
                f"{path} is altered: expected checksum {manifest.checksum}, found {actual}"
            )
        return manifest
    except ValidationError as error:
        raise BundleError(f"{path} is damaged: {_first_error(error)}") from None


def _with_additions(manifest: Manifest, folder: Path) -> Manifest:
    """A manifest with the keys that stand beside it."""
    path = folder / ADDITIONS
    try:
        additions = json.loads(path.read_bytes())
        added = {key: additions[key] for key in ADDED_KEYS if key in additions}
        return Manifest.model_validate(manifest.model_dump() | added)
    except (ValueError, TypeError, RecursionError) as error:
        reason = _first_error(error) if isinstance(error, ValidationError) else str(error)
        raise BundleError(f"{path} is damaged: {reason}") from None


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole file'}: {first['msg']}"


class _Header(BaseModel):
    format_version: int


def checksum(manifest: Mapping[str, Any]) -> str:
    """Sha256, in hexadecimal, of a manifest's JSON object without its key `checksum`."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(folder: Path) -> Fingerprint:
    """What tells a bundle's files from others in their place, without reading them."""
    marks: list[tuple[int, int, int] | None] = []
    for name in (ENCODE, DECODE, MANIFEST):
        try:
            status = (folder / name).stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(marks)


def versions(folder: Path) -> list[int]:
    """Version numbers under store/<name>, ascending; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if VERSION.fullmatch(path.name))
