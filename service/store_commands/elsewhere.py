"""What `bijecta store index` and `push` do, for stores that servers read elsewhere."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bundle import BundleError
from service.remote import (
    INDEX,
    AddressError,
    RemoteError,
    RemoteFiles,
    files_of,
    index_of,
    parse,
    push,
)
from service.store_commands.folders import look_at
from service.store_folder import numbers


def push_versions(arguments: Namespace) -> int:
    """Upload what a store elsewhere has not."""
    store: Path = arguments.store
    for name in arguments.names:
        numbers(store, name)  # raises where there is none
    names = arguments.names or sorted(look_at(store).names)
    with elsewhere(arguments.address) as files:
        pushed = 0
        for where in push(files, store, names):
            print(f"pushed {where}", flush=True)
            pushed += 1
        if not pushed:
            print(f"{files.address} has all of it")
    return 0


def write_index(arguments: Namespace) -> int:
    """Write the index of a store, for servers that read it from a web server."""
    store: Path = arguments.store
    look_at(store)  # raises where it is no store
    partial = store / f".{INDEX}.partial"
    partial.write_bytes(index_of(store))
    partial.replace(store / INDEX)
    print(f"wrote {store / INDEX}: upload it last")
    return 0


@contextmanager
def elsewhere(text: str) -> Iterator[RemoteFiles]:
    """The store at an address, whose errors are said like those of bundles."""
    try:
        if (address := parse(text)) is None:
            raise BundleError(f"expected an address such as s3://BUCKET/PREFIX, got {text!r:.80}")
        try:
            yield files_of(address)
        except RemoteError as error:
            raise BundleError(f"{address}: {error}") from None
    except AddressError as error:
        raise BundleError(str(error)) from None
