"""The arguments of `bijecta keys`, whose commands show and change a file of API keys."""

import argparse
import os
import sys
from pathlib import Path

from service import argument_types


def add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys`, whose own commands show and change a file of API keys."""
    keys = commands.add_parser("keys", help="make, list and revoke the API keys of servers")
    kinds = keys.add_subparsers(required=True, metavar="COMMAND")
    one = kinds.add_parser("add", help="make a key, and print it once")
    one.add_argument("name", metavar="NAME", help="by which people know it")
    one.add_argument(
        "--scope",
        default="ask",
        metavar="SCOPES",
        help="what it is for: ask models and list them, read /metrics (metrics), load and unload "
        "(admin), or several: ask,metrics (ask)",
    )
    one.add_argument("--models", metavar="NAMES", help="models it is for: moons-maf,wine (all)")
    one.add_argument(
        "--rows-per-second",
        type=argument_types.per_second,
        metavar="N",
        help="most on average (any)",
    )
    one.add_argument(
        "--requests-per-second", type=argument_types.per_second, metavar="N", help="likewise (any)"
    )
    one.add_argument("--days", type=argument_types.days, help="after so many it expires (never)")
    _finish(one, "add")
    one = kinds.add_parser("list", help="show every key: what it allows, never the key itself")
    one.add_argument("--json", action="store_true", help="print JSON")
    _finish(one, "list_keys")
    one = kinds.add_parser("revoke", help="take a key back")
    one.add_argument("name", metavar="NAME")
    _finish(one, "revoke")


def _finish(command: argparse.ArgumentParser, function: str) -> None:
    """Give a command its file, and a handler that prints errors on one line."""

    def handle(arguments: argparse.Namespace) -> int:
        from service.errors import os_error_text
        from service.key_commands import commands
        from service.security import KeysError

        try:
            code: int = getattr(commands, function)(arguments)
            return code
        except KeysError as error:
            print(f"bijecta: {error}", file=sys.stderr)
        except OSError as error:
            print(f"bijecta: {os_error_text(error)}", file=sys.stderr)
        return 1

    file = os.environ.get("BIJECTA_KEYS", "keys.json")
    command.add_argument("--keys", type=Path, default=Path(file), help=f"file of keys ({file})")
    command.set_defaults(handler=handle)
