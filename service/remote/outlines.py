"""What a store elsewhere holds, without its large files."""

import re
from pathlib import Path

from service import bundle
from service.bundle import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_NAMES_BYTES,
    NAMES,
    AnyManifest,
    BundleError,
    place,
)
from service.remote.files import RemoteFiles

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
"""Names of files that may be made here."""

MAX_SHOWN_BYTES = 2**40
"""Of a file: a file system may have no larger ones, not even of nothing."""


def outline(files: RemoteFiles, folder: Path) -> dict[str, str]:
    """Make a folder look like a store elsewhere: manifests and names, and files of nothing.

    Args:
        files: of the store.
        folder: an empty one.

    Returns:
        What was passed over, and why.

    Raises:
        RemoteError: the store cannot be read.
    """
    listing = files.listing()
    skipped = dict(listing.skipped)
    for name in listing.names.keys() & {name for name, _ in listing.versions}:
        (folder / name).mkdir()
        _fetch(files, folder, f"{name}/{NAMES}", MAX_NAMES_BYTES, skipped)
    for (name, version), listed in listing.versions.items():
        path = folder / name / str(version)
        path.mkdir(parents=True)
        _fetch(files, folder, f"{name}/{version}/{MANIFEST}", MAX_MANIFEST_BYTES, skipped)
        for file, size in (listed.sizes or {}).items():
            if PLAIN.fullmatch(file) and file != MANIFEST:
                with (path / file).open("wb") as hole:
                    hole.truncate(min(size, MAX_SHOWN_BYTES))
    return skipped


def read_outline(folder: Path) -> AnyManifest:
    """A version of an outline, of which sums are not known.

    Raises:
        BundleError: its manifest is damaged or another's, or a file that it lists is not there.
    """
    manifest = bundle.read_manifest(folder)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise BundleError(
            f"{place(folder)} holds the manifest of {manifest.name} version {manifest.version}"
        )
    is_listed = any(path.name != MANIFEST for path in folder.iterdir())
    for file in manifest.files if is_listed else ():
        if not (folder / file).is_file():
            raise BundleError(f"{place(folder)}/{file} is missing")
    return manifest


def _fetch(files: RemoteFiles, folder: Path, path: str, most: int, skipped: dict[str, str]) -> None:
    try:
        files.fetch(path, folder / path, most, lambda: None)
    except BundleError as error:
        skipped[path] = str(error)
    except FileNotFoundError:
        skipped[path] = "it has just gone"
