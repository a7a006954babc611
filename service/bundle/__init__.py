"""The bundle format: what training writes and the service reads. Needs neither torch nor onnx."""

from service.bundle.bases import BASES, LatentDraw, RandomStreams
from service.bundle.errors import BundleError, UnreadableBundleError, printable
from service.bundle.fidelity import Fidelity, Figure
from service.bundle.files import (
    DECODE,
    ENCODE,
    MANIFEST,
    Fingerprint,
    checksum,
    fingerprint,
    is_version,
    read,
    sha256,
    versions,
)
from service.bundle.manifest import FORMAT_VERSION, NAME, VERSION, Manifest
from service.bundle.manifest_part import (
    METHOD_WORDS,
    METHODS,
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
from service.bundle.regular_file import place, read_error

__all__ = [
    "BASES",
    "DECODE",
    "ENCODE",
    "FORMAT_VERSION",
    "MANIFEST",
    "METHODS",
    "METHOD_WORDS",
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
    "LatentDraw",
    "Manifest",
    "Number",
    "PerCoordinate",
    "RandomStreams",
    "SelfTest",
    "Sound",
    "Tolerances",
    "UnreadableBundleError",
    "checksum",
    "fingerprint",
    "is_version",
    "place",
    "printable",
    "read",
    "read_error",
    "sha256",
    "versions",
]
