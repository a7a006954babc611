"""Publishing a folder's versions in a store elsewhere: files first, manifests last."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from service import bundle
from service.bundle import MANIFEST, MAX_MANIFEST_BYTES, NAMES, SIGNATURE, BundleError
from service.remote.files import Listed, RemoteError, RemoteFiles


def push(files: RemoteFiles, store: Path, names: list[str]) -> Iterator[str]:
    """Upload what a store elsewhere has not of some models; yields what has been, as NAME/VERSION.

    A version that is there gets its signature, where that is another or new.

    Nothing is removed there. A model's file of names goes last, so that no alias is early.

    Args:
        files: of the store elsewhere.
        store: folder of bundles.
        names: of models.

    Raises:
        BundleError: a version is not whole, or is another one there.
        RemoteError: the store cannot be read or written.
    """
    if files.address.scheme in ("http", "https"):
        raise RemoteError(
            "a web server is written to by means of its own: upload the folder, and its index last"
        )
    there = files.listing()
    for name in names:
        for version in bundle.versions(store / name):
            folder, where = store / name / str(version), f"{name}/{version}"
            manifest = bundle.read(folder)
            if (listed := there.versions.get((name, version))) is not None:
                _check_same(files, folder, where)
                if _has_other_signature(files, folder, where, listed):
                    files.put(f"{where}/{SIGNATURE}", folder / SIGNATURE)
                    yield f"{where}/{SIGNATURE}"
                continue
            signature = [SIGNATURE] * (folder / SIGNATURE).is_file()
            for file in (*manifest.files, *signature):
                files.put(f"{where}/{file}", folder / file)
            files.put(f"{where}/{MANIFEST}", folder / MANIFEST)
            yield where
        said = store / name / NAMES
        if said.is_file() and not _is_same(files, said, f"{name}/{NAMES}", name in there.names):
            files.put(f"{name}/{NAMES}", said)
            yield f"{name}/{NAMES}"


def _check_same(files: RemoteFiles, folder: Path, where: str) -> None:
    if not _is_same(files, folder / MANIFEST, f"{where}/{MANIFEST}", is_there=True):
        raise BundleError(f"{where} is another bundle there: numbers are given once")


def _has_other_signature(files: RemoteFiles, folder: Path, where: str, listed: Listed) -> bool:
    """Whether a version was signed, or signed anew, since it was uploaded."""
    signature = folder / SIGNATURE
    is_there = SIGNATURE in (listed.sizes or {})
    return signature.is_file() and not _is_same(
        files, signature, f"{where}/{SIGNATURE}", is_there=is_there
    )


def _is_same(files: RemoteFiles, path: Path, where: str, is_there: bool) -> bool:
    """Whether a small file is the same there."""
    if not is_there:
        return False
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        files.fetch(where, copy, MAX_MANIFEST_BYTES, lambda: None)
        return copy.read_bytes() == path.read_bytes()
