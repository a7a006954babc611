"""The one command, `bijecta`. Each subcommand imports what it needs when it runs."""

import argparse
import logging
import os
import shlex
import signal
import sys
import threading
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bundle_commands import add_bundle_commands
from service.key_commands import add_keys
from service.store_commands import add_store

if TYPE_CHECKING:
    from pydantic_settings import CliSettingsSource

    from service.grpc import GrpcListener
    from service.log import Log
    from service.processes import WorkerProcess
    from service.server import Server
    from service.settings import Settings

# How shells name the end of a command by Ctrl-C.
INTERRUPTED = 128 + signal.SIGINT

WITHOUT_TRAINING = ("store", "keys", "score", "calibrate", "compare", "sign", "verify")
TRAINING = (
    "train",
    "inspect",
    "fit",
    "fit-detector",
    "distill",
    "ensemble",
    "evaluate",
    "export",
    "plot",
    "report",
)


def main(arguments: list[str] | None = None) -> int:
    """Run `bijecta`; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="bijecta", description="Train normalizing flows and serve them over HTTP."
    )
    parser.add_argument("--version", action="version", version=version("bijecta"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="answer HTTP requests for the bundles of a store",
        description="Each option is also a variable: --max-rows is BIJECTA_MAX_ROWS.",
    )
    add_store(commands)
    add_bundle_commands(commands)
    add_keys(commands)
    if arguments[:1] == ["serve"]:
        arguments = _add_flags(serve, arguments)
    elif not arguments or arguments[0] not in WITHOUT_TRAINING:
        _add_training(commands)
    # the arguments of an absent command are not looked at
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown and parsed.handler is not _absent:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = parsed.handler(parsed)
    except KeyboardInterrupt:  # the command has said what becomes of its work
        return INTERRUPTED
    return code


def _add_flags(serve: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """Add the settings to the parser of `serve`; returns the arguments, booleans as flags.

    Only `serve` does it: importing pydantic-settings takes 0.2 s of a CPU, all the rest 0.1 s.
    """
    from service.settings import add_flags, as_flags

    serve.add_argument(
        "--print-config",
        action="store_true",
        help="print all settings, what each is from, secrets masked, and end",
    )
    serve.set_defaults(handler=partial(_serve, add_flags(serve)))
    return as_flags(arguments)


def _add_training(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add what training registers, or what says that it is not installed."""
    for entry_point in entry_points(group="bijecta.commands"):
        try:
            entry_point.load()(commands)
        except ModuleNotFoundError:  # an image that holds the service and nothing else
            for name in TRAINING:
                commands.add_parser(name, help="not in this install").set_defaults(handler=_absent)


def _absent(_: argparse.Namespace) -> int:
    print("bijecta: training is not in this install: pip install 'bijecta[train]'", file=sys.stderr)
    return 1


def _serve(flags: "CliSettingsSource[Any]", arguments: argparse.Namespace) -> int:
    from service.log import Log
    from service.settings import SettingsError, as_toml, load, log_unknown_variables

    # until uvicorn sets its own: in a container, process 1 ignores signals without a handler
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = load(flags, arguments)
        if arguments.print_config:
            print(as_toml(settings, arguments), end="")
            return 0
    except SettingsError as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    if (problem := _no_store(settings.store)) is not None:
        print(f"bijecta: {problem}", file=sys.stderr)
        return 1
    log = Log(settings.log_repeat_seconds)
    log.install()
    log_unknown_variables()
    return _serve_alone(settings, log) if settings.workers == 1 else _serve_together(settings, log)


def _no_store(store: "Path | str") -> str | None:
    """Why a folder cannot be served: there is none; None of one, and of a store elsewhere."""
    from service.remote import AddressError, parse

    try:
        if parse(str(store)) is not None or Path(store).is_dir():
            return None
    except (AddressError, OSError):  # the server says more
        return None
    return (
        f"there is no store at {store} (--store, BIJECTA_STORE): `bijecta export RUN --store "
        f"{shlex.quote(str(store))}` makes it"
    )


def _serve_together(settings: "Settings", log: "Log") -> int:
    """Be the parent of some workers, or one of them."""
    from service.processes import STARTUP_FAILURE, Supervisor

    try:
        outcome = Supervisor(settings).run()
    except OSError as error:
        logging.getLogger(__name__).error("%s", error.strerror or error)
        return STARTUP_FAILURE
    if isinstance(outcome, int):
        log.say_counts(at_end=True)
        return outcome
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.name_process(outcome.name)
    return _serve_alone(settings, log, outcome)


def _serve_alone(settings: "Settings", log: "Log", worker: "WorkerProcess | None" = None) -> int:
    """Answer in this process."""
    from service.http import Process
    from service.runtime import DeviceError
    from service.security import KeysError
    from service.server import Server
    from service.settings import SettingsError
    from service.store import end_loads

    try:
        server = Server(settings, log, worker)
        listeners = [] if settings.grpc_port is None else [_grpc_listener(server, worker)]
        process = Process(server, listeners, worker)
    except (SettingsError, DeviceError, KeysError) as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    process.run()
    log.say_counts(at_end=True)
    code = 0
    if server.polling.failure is not None:
        print(f"bijecta: {server.polling.failure}", file=sys.stderr)
        code = 1
    loads_ended = end_loads()
    works = any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread())
    if works or not loads_ended:
        # Python would wait for work that nobody waits for any more: the cells of eight tables took
        # 2.5 s beyond the grace. onnxruntime would abort the process, with its own exit code
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _grpc_listener(server: "Server", worker: "WorkerProcess | None") -> "GrpcListener":
    """What answers on `--grpc-port`.

    Raises:
        SettingsError: the extra is not installed.
    """
    from service.settings import SettingsError

    # a caller can have gRPC's core write a line for each request
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from service.grpc import GrpcListener
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("grpc", "google"):
            raise
        raise SettingsError(
            "gRPC is not in this install (--grpc-port): pip install 'bijecta[grpc]'"
        ) from None
    return GrpcListener(server, None if worker is None else worker.sockets.grpc_port)


if __name__ == "__main__":
    sys.exit(main())
