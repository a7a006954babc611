"""Signatures of bundles: of Ed25519, over the bytes of a manifest, which has the sum of every file.

store/<name>/<version>/manifest.sig   64 bytes, as `openssl pkeyutl -sign -rawin` writes them

Keys are files of PEM. One of trusted keys holds one public key or several, one below the other.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from service.bundle.errors import UnsafeBundleError, printable
from service.bundle.regular_file import place, read_bytes, read_error

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE = "manifest.sig"
SIGNATURE_BYTES = 64
MAX_SIGNATURE_BYTES = 2**16
"""That are read: of one that is too long, how many it has is said."""

MAX_KEYS_BYTES = 2**16

PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class KeyFileError(Exception):
    """A file of keys that cannot be used; the text names the file, and nothing that is in it."""


class TrustedKeys:
    """Public keys whose signatures are believed.

    Args:
        path: of the file that holds them.

    Raises:
        KeyFileError: it cannot be read, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = _public_keys(path)

    def check(self, folder: Path, manifest: bytes) -> str:
        """See that a bundle's manifest is signed by one of the keys.

        Args:
            folder: store/<name>/<version>.
            manifest: the bytes of its manifest.

        Returns:
            The key: sha256 of its DER form, in hexadecimal.

        Raises:
            UnsafeBundleError: it is not.
            BundleError: the signature is no regular file.
            UnreadableBundleError: it cannot be read now.
        """
        from cryptography.exceptions import InvalidSignature

        shown = f"{place(folder)}/{SIGNATURE}"
        if not os.path.lexists(folder / SIGNATURE):
            raise UnsafeBundleError(
                f"{place(folder)} is not signed, and this server takes what a trusted key has "
                "signed: `bijecta sign`",
                "unsigned",
            )
        signature = read_bytes(folder, SIGNATURE, MAX_SIGNATURE_BYTES)
        if len(signature) != SIGNATURE_BYTES:
            raise UnsafeBundleError(
                f"{shown} has {len(signature)} bytes; a signature has {SIGNATURE_BYTES}",
                "signature",
            )
        for name, key in self._keys.items():
            try:
                key.verify(signature, manifest)
            except InvalidSignature:
                continue
            return name
        raise UnsafeBundleError(
            f"{shown} is of no trusted key, or of another manifest", "signature"
        )


def check_all_listed(folder: Path, listed: Set[str]) -> None:
    """See that a signed bundle holds nothing that is not signed.

    Args:
        folder: store/<name>/<version>.
        listed: names of all that it may hold.

    Raises:
        UnsafeBundleError: it holds something else.
        UnreadableBundleError: its folder cannot be read now.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                # what is hidden is never read: a signature that is being written, files that a
                # server of NFS keeps while they are open
                if entry.name not in listed and not entry.name.startswith("."):
                    shown = printable(entry.name, 80)
                    raise UnsafeBundleError(
                        f"{place(folder)} holds {shown!r}, which its signed manifest does not list",
                        "signature",
                    )
    except OSError as error:
        raise read_error(place(folder), error) from None


def sign(folder: Path, manifest: bytes, key: Path) -> str:
    """Write a bundle's signature, whole or not at all.

    Args:
        folder: store/<name>/<version>.
        manifest: the bytes of its manifest.
        key: file of the private key.

    Returns:
        The key, as `TrustedKeys.check` calls it.

    Raises:
        KeyFileError: it cannot be read, or holds something else.
        OSError: the signature cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(key)
    try:
        private = load_pem_private_key(content, None)
    except TypeError:
        raise KeyFileError(
            f"{key} is encrypted: sign with openssl, which asks for its password"
        ) from None
    except Exception:  # each library below has errors of its own, which repeat what is in the file
        raise KeyFileError(f"{key} holds no private key in PEM") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{key} is not of Ed25519: openssl genpkey -algorithm ed25519")
    descriptor, partial = tempfile.mkstemp(prefix=f".{SIGNATURE}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(private.sign(manifest))
            file.flush()
            os.fsync(descriptor)
        Path(partial).replace(folder / SIGNATURE)
    finally:
        Path(partial).unlink(missing_ok=True)
    return _name(private.public_key())


def _public_keys(path: Path) -> dict[str, "Ed25519PublicKey"]:
    """The keys of a file, by what they are called."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise KeyFileError(
            f"{path} holds a private key, which no server should have: openssl pkey -pubout"
        )
    keys: dict[str, Ed25519PublicKey] = {}
    for pem in PUBLIC.findall(content):
        try:
            key = load_pem_public_key(pem)
        except Exception:
            raise KeyFileError(f"{path} holds a public key that cannot be read") from None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path} holds a key that is not of Ed25519")
        keys[_name(key)] = key
    if not keys:
        raise KeyFileError(f"{path} holds no public key in PEM")
    return keys


def _read(path: Path) -> bytes:
    """A file of keys."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise KeyFileError("this install has no signatures: pip install 'bijecta[sign]'") from None
    try:
        if not path.is_file():
            path.stat()
            raise KeyFileError(f"{path} is no regular file")
        with path.open("rb") as file:
            content = file.read(MAX_KEYS_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_KEYS_BYTES:
        raise KeyFileError(f"{path} has more than {MAX_KEYS_BYTES} bytes: it is no file of keys")
    return content


def _name(key: "Ed25519PublicKey") -> str:
    """What a key is called: `openssl pkey -pubin -outform DER | sha256sum` says the same."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
