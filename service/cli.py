"""The one command, `bijecta`. Each subcommand imports what it needs when it runs."""

import argparse
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

from service.settings import Settings, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run `bijecta`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="bijecta", description="Train normalizing flows and serve them over HTTP."
    )
    parser.add_argument("--version", action="version", version=version("bijecta"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    for entry_point in entry_points(group="bijecta.commands"):
        entry_point.load()(commands)
    parsed = parser.parse_args(arguments)
    code: int = parsed.handler(parsed)
    return code
