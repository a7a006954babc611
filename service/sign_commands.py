"""What `bijecta sign` and `bijecta verify` do, and what they print."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator

from service import bundle
from service.bundle import MANIFEST, BundleError, KeyFileError, TrustedKeys, place, sign
from service.score_command import bundle_folder, os_error_text


def sign_bundles(arguments: Namespace) -> int:
    """Sign bundles, each of which is whole."""

    def work() -> Iterator[str]:
        for folder in map(bundle_folder, arguments.bundles):
            content = (folder / MANIFEST).read_bytes()
            bundle.read(folder, identity=bundle.read_identity(folder))
            if (folder / MANIFEST).read_bytes() != content:
                raise BundleError(f"{place(folder)} has just become another")
            yield f"signed {place(folder)} with key {sign(folder, content, arguments.key)}"

    return _say(work)


def verify_bundles(arguments: Namespace) -> int:
    """See that bundles are whole, and signed by a trusted key."""

    def work() -> Iterator[str]:
        trusted = TrustedKeys(arguments.trusted_keys)
        for folder in map(bundle_folder, arguments.bundles):
            bundle.read(folder, identity=bundle.read_identity(folder), trusted=trusted)
            key = trusted.check(folder, (folder / MANIFEST).read_bytes())
            yield f"{place(folder)} is whole, and signed with key {key}"

    return _say(work)


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
