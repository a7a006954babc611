"""The arguments of `bijecta store`, whose commands show and change what a store holds."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from service import argument_types


def add_store(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `store`, whose own commands show and change what a store holds."""
    store = commands.add_parser("store", help="show and change what a store holds")
    kinds = store.add_subparsers(required=True, metavar="COMMAND")
    one = kinds.add_parser("list", help="show every version with its figures, and broken ones")
    one.add_argument("names", nargs="*", metavar="NAME", help="models (all)")
    one.add_argument("--json", action="store_true", help="print JSON")
    _finish(one, "listing", "list_versions", _folder_or_address)
    one = kinds.add_parser("prune", help="remove old versions that no name means")
    one.add_argument("names", nargs="*", metavar="NAME", help="models (all)")
    one.add_argument(
        "--keep", type=argument_types.count, default=3, help="so many of the newest stay (3)"
    )
    one.add_argument(
        "--keep-days", type=argument_types.days, default=0.0, help="younger ones stay too (0)"
    )
    one.add_argument("--yes", action="store_true", help="remove without asking")
    _finish(one, "changes", "prune_versions")
    one = kinds.add_parser("rollback", help="make NAME mean the version before, or another")
    one.add_argument("name", metavar="NAME")
    one.add_argument(
        "--to", type=argument_types.version, metavar="VERSION", help="a number, or latest"
    )
    _finish(one, "changes", "roll_back_model")
    one = kinds.add_parser("alias", help="make NAME@ALIAS mean a version")
    one.add_argument("alias", metavar="NAME@ALIAS")
    one.add_argument(
        "version", nargs="?", type=argument_types.count, metavar="VERSION", help="NAME's own"
    )
    one.add_argument("--remove", action="store_true", help="make it mean nothing")
    _finish(one, "changes", "set_or_remove_alias")
    one = kinds.add_parser("index", help="write index.json, which a store behind https:// needs")
    _finish(one, "elsewhere", "write_index")
    one = kinds.add_parser("push", help="upload what a store elsewhere has not")
    one.add_argument("address", metavar="ADDRESS", help="s3://, gs://, az://, hf:// or file://")
    one.add_argument("names", nargs="*", metavar="NAME", help="models (all)")
    _finish(one, "elsewhere", "push_versions")


def _finish(
    command: argparse.ArgumentParser,
    module: str,
    function: str,
    kind: Callable[[str], Path | str] | None = None,
) -> None:
    """Give a command of `store` its folder, and a handler that prints errors on one line."""

    def handle(arguments: argparse.Namespace) -> int:
        from service.bundle import BundleError
        from service.errors import os_error_text

        try:
            chosen = import_module(f"service.store_commands.{module}")
            code: int = getattr(chosen, function)(arguments)
            return code
        except BundleError as error:
            print(f"bijecta: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"bijecta: {os_error_text(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise

    usual = os.environ.get("BIJECTA_STORE", "store")
    command.add_argument(
        "--store", type=kind or folder, default=usual, help=f"folder of bundles ({usual})"
    )
    command.set_defaults(handler=handle)


def folder(text: str) -> Path:
    """The path of a folder, which is no address of a store elsewhere.

    Raises:
        ArgumentTypeError: it is one; the text says what to do.
    """
    if "://" in text:
        scheme = f"{text.partition('://')[0]:.20}://"
        raise argparse.ArgumentTypeError(
            f"expected a folder, and {scheme} is none: write to a folder, and "
            f"`bijecta store push {scheme}…` uploads it"
        )
    return Path(text)


def _folder_or_address(text: str) -> Path | str:
    return text if "://" in text else Path(text)
