"""The bundle format: what training writes and the service reads. Needs neither torch nor onnx.

store/<name>/<version>/encode.onnx     x[, u][, context] → z, log_prob
store/<name>/<version>/decode.onnx     z[, context] → x, log_prob; of detectors other files, and of
                                       ensembles more inputs and outputs
store/<name>/<version>/layers.onnx     z[, context] → states, log_probs; of some flows
store/<name>/<version>/manifest.json
store/<name>/<version>/additions.json  keys of the manifest that format 1 did not begin with

The number of a manifest's format says which class of manifest it is of: 1 is a flow; 2 has a kind.
A format or kind that this program does not read is refused by its number or name.

Servers of before there were additions refuse a manifest with a key that they do not know. Of the
files that it lists they only compare the checksums, so that they pass the additions over.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from service.bundle.errors import BundleError as BundleError
from service.bundle.errors import printable
from service.bundle.manifests.detector import (
    CALIBRATION,
    COLUMN_VALUES,
    HOURS,
    NEIGHBOURS,
    SCORE,
    DetectorManifest,
)
from service.bundle.manifests.ensemble import EnsembleManifest
from service.bundle.manifests.flow import FORMAT_VERSION, Manifest
from service.bundle.manifests.table import TableManifest
from service.bundle.regular_file import (
    check_size,
    check_sum,
    file_sha256,
    place,
    read_bytes,
)
from service.bundle.signature import SIGNATURE, TrustedKeys, check_all_listed
from service.file_mark import Mark, mark_of

ENCODE, DECODE, LAYERS = "encode.onnx", "decode.onnx", "layers.onnx"
MANIFEST, ADDITIONS = "manifest.json", "additions.json"
OF_DETECTORS = (SCORE, NEIGHBOURS, CALIBRATION, COLUMN_VALUES, HOURS)
FILES = (ENCODE, DECODE, LAYERS, *OF_DETECTORS, MANIFEST, ADDITIONS, SIGNATURE)
"""All that a bundle of any kind may hold."""

ADDED_KEYS = ("columns", "layers", "measured_rows", "residual", "round_trip", "run_cost", "sweeps")
"""The keys of `Manifest` that stand in `ADDITIONS`; others there are for servers to come."""

MAX_MANIFEST_BYTES = 16 * 2**20
MAX_MANIFEST_VALUES = 2**20
"""Values of a manifest, which take up to 60 times their bytes of JSON when they are read."""

TYPED_FORMAT = 2
"""The format of manifests that have a kind."""

DensityManifest = Manifest | TableManifest | EnsembleManifest
"""Of what has latents, and draws rows."""
AnyManifest = DensityManifest | DetectorManifest

KINDS: dict[str, type[TableManifest] | type[DetectorManifest] | type[EnsembleManifest]] = {
    "table": TableManifest,
    "detector": DetectorManifest,
    "ensemble": EnsembleManifest,
}
"""The kinds of format 2 that this program reads."""

M = TypeVar("M", Manifest, TableManifest, DetectorManifest, EnsembleManifest)

Fingerprint = tuple[Mark | None, ...]


def read(
    folder: Path,
    go_on: Callable[[], None] = lambda: None,
    identity: tuple[str, int] | None = None,
    trusted: TrustedKeys | None = None,
    max_bytes: int | None = None,
) -> AnyManifest:
    """Read a bundle's manifest and check every file against it.

    Args:
        folder: store/<name>/<version>.
        go_on: called now and then; raises where the bundle is no longer wanted.
        identity: the name and version that it is to have, where the folder's are not they.
        trusted: keys of which one has to have signed it; None where it need not be signed.
        max_bytes: of all its files, which are not read where they have more; None for no limit.

    Raises:
        BundleError: a file is missing or altered, the manifest is damaged or of another format
            version, or its name and version are not those expected.
        UnsafeBundleError: it is too large, not signed as it is to be, or has a file that is not.
        UnreadableBundleError: a file cannot be read now.
    """
    manifest = read_manifest(folder, trusted)
    if trusted is not None:
        check_all_listed(folder, {*manifest.files, MANIFEST, SIGNATURE})
    name, version = identity or (folder.parent.name, folder.name)
    if (manifest.name, str(manifest.version)) != (name, str(version)):
        raise BundleError(
            f"{place(folder)} holds the manifest of {manifest.name} version {manifest.version}"
        )
    for name in manifest.required_files:
        if name not in manifest.files:
            raise BundleError(f"{place(folder)}/{MANIFEST} lists no checksum for {name}")
    if max_bytes is not None:
        check_size(folder, manifest.files, max_bytes)
    for name, expected in manifest.files.items():
        go_on()
        check_sum(folder, name, expected, file_sha256(folder, name, go_on))
    if isinstance(manifest, Manifest) and ADDITIONS in manifest.files:
        return _with_additions(manifest, folder)
    return manifest


def read_flow(folder: Path) -> Manifest:
    """The same of a bundle that holds a flow.

    Raises:
        BundleError: also where it holds something else.
    """
    return _of_kind(folder, Manifest, "a flow")


def read_table(folder: Path) -> TableManifest:
    """The same of a bundle that holds a density over a table.

    Raises:
        BundleError: also where it holds something else.
    """
    return _of_kind(folder, TableManifest, "a table")


def read_detector(folder: Path) -> DetectorManifest:
    """The same of a bundle that holds a detector.

    Raises:
        BundleError: also where it holds something else.
    """
    return _of_kind(folder, DetectorManifest, "a detector")


def _of_kind(folder: Path, wanted: type[M], expected: str) -> M:
    manifest = read(folder)
    if not isinstance(manifest, wanted):
        kind = "flow" if isinstance(manifest, Manifest) else manifest.kind
        raise BundleError(f"{place(folder)} is of kind {kind}; expected {expected}")
    return manifest


def read_identity(folder: Path) -> tuple[str, int]:
    """The name and version that a bundle's manifest states, wherever its folder lies.

    Raises:
        BundleError: the manifest is missing, damaged or of another format version.
        UnreadableBundleError: it cannot be read now.
    """
    manifest = read_manifest(folder)
    return manifest.name, manifest.version


def read_manifest(folder: Path, trusted: TrustedKeys | None = None) -> AnyManifest:
    """Read a bundle's manifest, and none of the files that it lists.

    Args:
        folder: store/<name>/<version>.
        trusted: see `read`.

    Raises:
        BundleError: it is missing, damaged or of another format version.
        UnsafeBundleError: it is not signed as it is to be.
        UnreadableBundleError: it cannot be read now.
    """
    shown = f"{place(folder)}/{MANIFEST}"
    content = _read_json(folder, MANIFEST)
    if trusted is not None:
        trusted.check(folder, content)
    try:
        manifest = _manifest_class(content, shown).model_validate_json(content)
        if (actual := checksum(json.loads(content))) != manifest.checksum:
            raise BundleError(
                f"{shown} is altered: expected checksum {printable(manifest.checksum, 64)}, "
                f"found {actual}"
            )
        return manifest
    except ValidationError as error:
        raise BundleError(f"{shown} is damaged: {first_error(error)}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise BundleError(f"{shown} is damaged: {printable(str(error))}") from None


def manifest_of(content: Mapping[str, Any]) -> AnyManifest:
    """The manifest in what a server says of a model.

    Args:
        content: the answer of `/models/NAME`, which says more than the manifest.

    Raises:
        BundleError: it is none, or of a format that this program does not read.
    """
    try:
        kind = _manifest_class(json.dumps(content).encode(), "the model")
        known = {key: value for key, value in content.items() if key in kind.model_fields}
        return kind.model_validate(known)
    except ValidationError as error:
        raise BundleError(f"this is no description of a model: {first_error(error)}") from None


def _manifest_class(content: bytes, shown: str) -> type[AnyManifest]:
    """What the manifest is of, by its format and its kind.

    Raises:
        BundleError: of neither that this program reads.
        ValidationError: it says neither.
    """
    header = _Header.model_validate_json(content)
    if header.format_version == FORMAT_VERSION:
        return Manifest
    if header.format_version != TYPED_FORMAT:
        raise BundleError(
            f"{shown} has format_version {header.format_version}; this program reads "
            f"{FORMAT_VERSION} and {TYPED_FORMAT}: export the model again, or use a matching "
            "Bijecta"
        )
    kind = _TypedHeader.model_validate_json(content).kind
    if kind not in KINDS:
        raise BundleError(
            f"{shown} is of kind {printable(kind, 40)!r}; of format_version {TYPED_FORMAT} this "
            f"program reads {', '.join(KINDS)}: use a matching Bijecta"
        )
    return KINDS[kind]


def _with_additions(manifest: Manifest, folder: Path) -> Manifest:
    """A manifest with the keys that stand beside it."""
    try:
        additions = json.loads(_read_json(folder, ADDITIONS, manifest.files[ADDITIONS]))
        added = {key: additions[key] for key in ADDED_KEYS if key in additions}
        return Manifest.model_validate(manifest.model_dump() | added)
    except (ValueError, TypeError, RecursionError) as error:
        reason = first_error(error) if isinstance(error, ValidationError) else printable(str(error))
        raise BundleError(f"{place(folder)}/{ADDITIONS} is damaged: {reason}") from None


def _read_json(folder: Path, name: str, expected: str | None = None) -> bytes:
    """A file of JSON that is small enough to be parsed, of a checksum where one is expected."""
    content = read_bytes(folder, name, MAX_MANIFEST_BYTES)
    if expected is not None:
        check_sum(folder, name, expected, hashlib.sha256(content).hexdigest())
    values = sum(content.count(mark) for mark in b",[{")
    if values > MAX_MANIFEST_VALUES:
        raise BundleError(
            f"{place(folder)}/{name} has {values} values, and may have {MAX_MANIFEST_VALUES}"
        )
    return content


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong with a file of JSON, and where in it."""
    first = error.errors(include_url=False)[0]
    where = printable(".".join(map(str, first["loc"])), 100) or "the whole file"
    return f"{where}: {printable(first['msg'])}"


class _Header(BaseModel):
    format_version: Annotated[int, Field(ge=0, lt=2**63)]


class _TypedHeader(BaseModel):
    kind: str


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
    return tuple([mark_of(folder / name) for name in FILES])
