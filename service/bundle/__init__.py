"""The bundle format: what training writes and the service reads. Needs neither torch nor onnx."""

from service.bundle.bases import BASES, RandomStreams
from service.bundle.fidelity import Fidelity, Figure
from service.bundle.files import (
    DECODE,
    ENCODE,
    MANIFEST,
    BundleError,
    Fingerprint,
    checksum,
    fingerprint,
    read,
    sha256,
    versions,
)
from service.bundle.manifest import FORMAT_VERSION, NAME, VERSION, Manifest
from service.bundle.manifest_part import (
    Arithmetic,
    ContextColumn,
    Direction,
    HeldOut,
    InverseMethod,
    InverseReport,
    Number,
    PerCoordinate,
    SelfTest,
    Sound,
    Tolerances,
)

__all__ = [
    "BASES",
    "DECODE",
    "ENCODE",
    "FORMAT_VERSION",
    "MANIFEST",
    "NAME",
    "VERSION",
    "Arithmetic",
    "BundleError",
    "ContextColumn",
    "Direction",
    "Fidelity",
    "Figure",
    "Fingerprint",
    "HeldOut",
    "InverseMethod",
    "InverseReport",
    "Manifest",
    "Number",
    "PerCoordinate",
    "RandomStreams",
    "SelfTest",
    "Sound",
    "Tolerances",
    "checksum",
    "fingerprint",
    "read",
    "sha256",
    "versions",
]
