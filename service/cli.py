"""The one command, `bijecta`. Each subcommand imports what it needs when it runs."""

import argparse
import logging
import signal
import sys
from functools import partial
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from service import settings
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pydantic_settings import CliSettingsSource

TRAINING = ("train", "distill", "evaluate", "export")


def main(arguments: list[str] | None = None) -> int:
    """Run `bijecta`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="bijecta", description="Train normalizing flows and serve them over HTTP."
    )
    parser.add_argument("--version", action="version", version=version("bijecta"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    for entry_point in entry_points(group="bijecta.commands"):
        try:
            entry_point.load()(commands)
        except ModuleNotFoundError:  # an image that holds the service and nothing else
            for name in TRAINING:
                commands.add_parser(name, help="not in this install").set_defaults(handler=_absent)
    # what follows a command that is absent is of no interest
    parsed, unknown = parser.parse_known_args(
        _as_flags(sys.argv[1:] if arguments is None else arguments)
    )
    if unknown and parsed.handler is not _absent:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = parsed.handler(parsed)
    return code


def _as_flags(arguments: list[str]) -> list[str]:
    """Rewrite `--model-control true`, the former way to write a boolean option, as a flag."""
    booleans = {
        f"--{name.replace('_', '-')}"
        for name, field in Settings.model_fields.items()
        if field.annotation is bool
    }
    flags: list[str] = []
    for argument in arguments:
        last = flags[-1] if flags else ""
        if last in booleans and argument.lower() in ("true", "false"):
            flags[-1] = last if argument.lower() == "true" else f"--no-{last.removeprefix('--')}"
            print(f"bijecta: {last} {argument} is now {flags[-1]}", file=sys.stderr)
        else:
            flags.append(argument)
    return flags


def _absent(_: argparse.Namespace) -> int:
    print("bijecta: training is not in this install: pip install 'bijecta[train]'", file=sys.stderr)
    return 1


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="answer HTTP requests for the bundles of a store",
        description="Each option is also a variable: --max-rows is BIJECTA_MAX_ROWS.",
    )
    serve.set_defaults(handler=partial(_serve, settings.add_flags(serve)))


def _serve(flags: "CliSettingsSource[Any]", arguments: argparse.Namespace) -> int:
    from service.http import Process
    from service.runtime import DeviceError
    from service.server import Server

    # until uvicorn takes over: in a container, process 1 ignores what it has no handler for
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        server = Server(settings.load(flags, arguments))
    except (SettingsError, DeviceError) as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    Process(server).run()
    if server.failure is not None:
        print(f"bijecta: {server.failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
