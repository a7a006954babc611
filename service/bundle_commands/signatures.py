"""What `bijecta sign` and `bijecta verify` do, and what they print."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from service import bundle
from service.bundle import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    BundleError,
    KeyFileError,
    TrustedKeys,
    place,
    read_bytes,
    sign,
)
from service.bundle_commands.score import bundle_folder
from service.errors import os_error_text


def sign_bundles(arguments: Namespace) -> int:
    """Sign bundles, each of which is whole."""

    def work() -> Iterator[str]:
        for folder in map(bundle_folder, arguments.bundles):
            manifest = _checked(folder)
            yield f"signed {place(folder)} with key {sign(folder, manifest, arguments.key)}"

    return _say(work)


def verify_bundles(arguments: Namespace) -> int:
    """See that bundles are whole, and signed by a trusted key."""

    def work() -> Iterator[str]:
        trusted = TrustedKeys(arguments.trusted_keys)
        for folder in map(bundle_folder, arguments.bundles):
            key = trusted.check(folder, _checked(folder, trusted))
            yield f"{place(folder)} is whole, and signed with key {key}"

    return _say(work)


def _checked(folder: Path, trusted: TrustedKeys | None = None) -> bytes:
    """The manifest of a bundle whose files are all those that it lists.

    Args:
        folder: store/<name>/<version>.
        trusted: see `bundle.read`.

    Raises:
        BundleError: they are not, or it has become another meanwhile.
    """
    content = read_bytes(folder, MANIFEST, MAX_MANIFEST_BYTES)
    bundle.read(folder, identity=bundle.read_identity(folder), trusted=trusted)
    if read_bytes(folder, MANIFEST, MAX_MANIFEST_BYTES) != content:
        raise BundleError(f"{place(folder)} has just become another")
    return content


def _say(work: Callable[[], Iterator[str]]) -> int:
    """Print what is done, and on one line why the rest is not."""
    try:
        for line in work():
            print(line, flush=True)
    except (BundleError, KeyFileError) as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bijecta: {os_error_text(error)}", file=sys.stderr)
        return 1
    return 0
