"""Stores behind a web server, which lists no files: an index beside them does.

    {"format_version": 1, "models": {"wine": {"names": SHA256, "versions": {"1": SHA256}}}}

The sums are of `names.json`, where a model has one, and of each version's `manifest.json`. Where
versions are signed, `signatures` has the sums of their `manifest.sig`.
"""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service import bundle
from service.bundle import MANIFEST, NAME, NAMES, SIGNATURE, BundleError
from service.remote.address import Address
from service.remote.files import (
    MAX_BUNDLES,
    MAX_MODELS,
    Listed,
    Listing,
    RemoteError,
    RemoteFiles,
)
from service.store_folder import look_through

INDEX = "index.json"
MAX_INDEX_BYTES = 2**22

Number = Annotated[str, Field(pattern="^[1-9][0-9]{0,18}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class IndexedModel(BaseModel):
    """What an index says of a model.

    Args:
        names: sum of its file of names; None where it has none.
        versions: sums of their manifests, by number.
        signatures: sums of their signatures, of those that are signed; None where none is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: Sha256 | None = None
    versions: dict[Number, Sha256]
    signatures: dict[Number, Sha256] | None = None


class Index(BaseModel):
    """What a store holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    models: Annotated[
        dict[Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")], IndexedModel],
        Field(max_length=MAX_MODELS),
    ]


class IndexedFiles(RemoteFiles):
    """A store behind a web server.

    Args:
        address: of the folder that holds the index.
        filesystem: of fsspec; None for the one of HTTP.
    """

    def __init__(self, address: Address, filesystem: Any = None) -> None:
        super().__init__(address, filesystem)
        self._sums: dict[str, str] = {}

    def listing(self, beat: Callable[[], None] = lambda: None) -> Listing:
        """What the index lists.

        Raises:
            RemoteError: it cannot be read, or is damaged.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / INDEX
            try:
                super().fetch(INDEX, path, MAX_INDEX_BYTES, beat)
                index = Index.model_validate_json(path.read_bytes())
            except FileNotFoundError:
                raise RemoteError(
                    f"there is no {INDEX} at this address: `bijecta store index` writes it",
                    lasts=True,
                ) from None
            except BundleError as error:
                raise RemoteError(str(error)) from None
            except ValidationError as error:
                raise RemoteError(f"{INDEX} is damaged: {bundle.first_error(error)}") from None
        listing = Listing({}, {}, {})
        self._sums = {}
        for name, model in index.models.items():
            if len(listing.versions) + len(model.versions) > MAX_BUNDLES:
                raise RemoteError(f"{INDEX} lists more than {MAX_BUNDLES} bundles")
            if model.names is not None:
                listing.names[name] = self._sums[f"{name}/{NAMES}"] = model.names
            for version, sha256 in model.versions.items():
                if not bundle.is_version(version):
                    raise RemoteError(f"{INDEX} lists a version beyond 2^63")
                signature = (model.signatures or {}).get(version)
                files = {MANIFEST: sha256} | ({SIGNATURE: signature} if signature else {})
                listing.versions[name, int(version)] = Listed(" ".join(files.values()), None)
                self._sums |= {f"{name}/{version}/{file}": sum_ for file, sum_ in files.items()}
        return listing

    def fetch(self, path: str, to: Path, most: int, beat: Callable[[], None]) -> None:
        """Copy a file, and check the sum that the index has of it.

        Raises:
            BundleError: also where it is not the one that the index means.
        """
        if path.endswith(f"/{SIGNATURE}") and path not in self._sums:
            raise FileNotFoundError(errno.ENOENT, f"{path} is missing")  # without a request
        super().fetch(path, to, most, beat)
        if path in self._sums and bundle.sha256(to) != self._sums[path]:
            raise BundleError(f"{path} is not the one that {INDEX} lists: one of them is old")


def files_of(address: Address) -> RemoteFiles:
    """The files at an address, by their index where the store lists none.

    Raises:
        RemoteError: see `RemoteFiles`.
    """
    is_web = address.scheme in ("http", "https")
    return IndexedFiles(address) if is_web else RemoteFiles(address)


def index_of(store: Path) -> bytes:
    """The index of a store's folder, for a web server.

    Args:
        store: folder of bundles.

    Raises:
        BundleError: it cannot be looked through, or holds what cannot be listed.
    """
    found = look_through(store)
    models: dict[str, dict[str, Any]] = {}
    for (name, version), there in sorted(found.bundles.items()):
        if not (there.folder / MANIFEST).is_file():
            continue
        model = models.setdefault(name, {"versions": {}})
        model["versions"][str(version)] = bundle.sha256(there.folder / MANIFEST)
        if (signature := there.folder / SIGNATURE).is_file():
            model.setdefault("signatures", {})[str(version)] = bundle.sha256(signature)
        if (names := store / name / NAMES).is_file():
            model["names"] = bundle.sha256(names)
    try:
        index = Index.model_validate({"models": models})
    except ValidationError as error:
        raise BundleError(f"{store} cannot be listed: {bundle.first_error(error)}") from None
    return json.dumps(index.model_dump(exclude_none=True), indent=1).encode()
