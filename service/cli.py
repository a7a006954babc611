"""The one command, `bijecta`. Each subcommand imports what it needs when it runs."""

import argparse
import logging
import signal
import sys
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings

TRAINING = ("train", "distill", "evaluate", "export")


def main(arguments: list[str] | None = None) -> int:
    """Run `bijecta`; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["serve"]:  # has a parser of its own: pydantic takes long to import
        return _serve(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="bijecta", description="Train normalizing flows and serve them over HTTP."
    )
    parser.add_argument("--version", action="version", version=version("bijecta"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("serve", help="answer HTTP requests for the bundles of a store")
    for entry_point in entry_points(group="bijecta.commands"):
        try:
            entry_point.load()(commands)
        except ModuleNotFoundError:  # an image that holds the service and nothing else
            for name in TRAINING:
                commands.add_parser(name, help="not in this install").set_defaults(handler=_absent)
    # the arguments of an absent command are not looked at
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown and parsed.handler is not _absent:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = parsed.handler(parsed)
    return code


def _absent(_: argparse.Namespace) -> int:
    print("bijecta: training is not in this install: pip install 'bijecta[train]'", file=sys.stderr)
    return 1


def _serve(arguments: list[str]) -> int:
    from service.settings import SettingsError, load, parse_flags

    try:
        return _run(load(parse_flags(arguments)))
    except SettingsError as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1


def _run(settings: "Settings") -> int:
    from service.http import Process
    from service.runtime import DeviceError
    from service.server import Server

    # until uvicorn sets its own: in a container, process 1 ignores signals without a handler
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        server = Server(settings)
    except DeviceError as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    Process(server).run()
    if server.failure is not None:
        print(f"bijecta: {server.failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
