"""The one command, `bijecta`. Each subcommand imports what it needs when it runs."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service import argument_types
from service.key_commands import add_keys
from service.store_commands import add_store, folder

if TYPE_CHECKING:
    from pydantic_settings import CliSettingsSource

    from service.grpc import GrpcListener
    from service.server import Server

BUNDLE = "store/NAME, store/NAME@ALIAS or store/NAME/VERSION"
WITHOUT_TRAINING = ("store", "keys", "score", "calibrate", "compare", "sign", "verify")
TRAINING = ("train", "inspect", "fit", "fit-detector", "distill", "evaluate", "export", "plot")


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
    _add_score(commands)
    _add_detectors(commands)
    _add_signing(commands)
    add_keys(commands)
    if arguments[:1] == ["serve"]:
        arguments = _add_flags(serve, arguments)
    elif not arguments or arguments[0] not in WITHOUT_TRAINING:
        _add_training(commands)
    # the arguments of an absent command are not looked at
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown and parsed.handler is not _absent:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = parsed.handler(parsed)
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


def _add_detectors(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `calibrate` and `compare`."""
    one = commands.add_parser(
        "calibrate", help="write a version of a detector that is calibrated with new normal rows"
    )
    one.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    one.add_argument("rows", type=Path, metavar="ROWS", help="a file of normal rows")
    one.add_argument("--store", type=folder, help="folder of bundles to write to (BUNDLE's own)")
    one.add_argument(
        "--allow-few",
        action="store_true",
        help="write it even if the rows are too few for an alarm at an alpha of 0.05",
    )
    one.set_defaults(handler=_handler("detector_commands", "calibrate"))
    two = commands.add_parser("compare", help="compare two bundles on the same rows, with errors")
    two.add_argument("a", metavar="A", help=BUNDLE)
    two.add_argument("b", metavar="B")
    two.add_argument("--data", type=Path, required=True, metavar="TABLE", help="a file of rows")
    two.add_argument(
        "--labels", metavar="COLUMN", help="says which rows are anomalies: compares AUROC too"
    )
    two.set_defaults(handler=_handler("detector_commands", "compare"))
    for each in (one, two):
        each.add_argument("--device", default="cpu", help="as of serve (cpu)")


def _add_signing(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sign` and `verify`."""
    one = commands.add_parser("sign", help="sign bundles, for servers with --trusted-keys")
    two = commands.add_parser("verify", help="see that bundles are whole, and signed")
    for each, function in ((one, "sign_bundles"), (two, "verify_bundles")):
        each.add_argument("bundles", nargs="+", metavar="BUNDLE", help=BUNDLE)
        each.set_defaults(handler=_handler("sign_commands", function))
    one.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="private key of Ed25519, in PEM"
    )
    two.add_argument(
        "--trusted-keys", type=Path, required=True, metavar="FILE", help="public keys, in PEM"
    )


def _handler(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """A function of a module of the service, which is imported when it runs."""

    def handle(arguments: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"service.{module}"), function)(arguments)
        return code

    return handle


def _add_score(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `score`, which scores files."""
    score = commands.add_parser(
        "score",
        help="score the rows of files, of any size",
        description="Exit codes: 0 all rows have a score; 3 some were skipped, and are listed; 1 "
        "the run ended early, and the same command goes on where it was.",
    )
    score.add_argument("model", metavar="BUNDLE", help=f"{BUNDLE}, or a server's URL")
    score.add_argument(
        "inputs", nargs="+", metavar="IN", help="files, folders of files, or - for standard input"
    )
    score.add_argument("--out", required=True, help="a file, or - for standard output")
    score.add_argument(
        "--keep", metavar="COLUMNS", help="columns to stand beside the scores: id,when"
    )
    score.add_argument("--format", metavar="FORMAT", help="of the input, where no ending says it")
    score.add_argument("--out-format", metavar="FORMAT", help="of the output, likewise")
    score.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what a row that cannot be scored does: end the run (stop), or be left out",
    )
    score.add_argument(
        "--alpha", type=argument_types.rate, help="a detector's largest p-value of an anomaly"
    )
    score.add_argument(
        "--fdr", type=argument_types.rate, help="or its rate of false discoveries in all rows"
    )
    score.add_argument(
        "--reasons",
        type=argument_types.count,
        metavar="K",
        help="columns to be named of each possible anomaly",
    )
    score.add_argument(
        "--seed", type=argument_types.seed, help="draws its p-values of equal scores"
    )
    score.add_argument(
        "--report", metavar="FILE", help="lists what was skipped (OUT.skipped.ndjson)"
    )
    score.add_argument("--device", default="auto", help="as of serve (auto)")
    score.add_argument(
        "--engine", choices=("threads", "ray"), default="threads", help="of this machine, or Ray's"
    )
    score.add_argument("--model", metavar="NAME", dest="name", help="of a server that has several")
    score.add_argument(
        "--workers", type=argument_types.count, help="processes of Ray (its CPUs, or GPUs)"
    )
    score.add_argument("--overwrite", action="store_true", help="replace OUT")
    score.add_argument("--restart", action="store_true", help="throw unfinished work away")
    score.add_argument("--quiet", action="store_true", help="say nothing on the way")
    score.set_defaults(handler=_handler("score_command", "score_files"))


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
    from service.http import Process
    from service.log import Log
    from service.runtime import DeviceError
    from service.security import KeysError
    from service.server import Server
    from service.settings import SettingsError, as_toml, load, log_unknown_variables
    from service.store import end_loads

    # until uvicorn sets its own: in a container, process 1 ignores signals without a handler
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = load(flags, arguments)
        if arguments.print_config:
            print(as_toml(settings, arguments), end="")
            return 0
        log = Log(settings.log_repeat_seconds)
        log.install()
        log_unknown_variables()
        server = Server(settings, log)
        listeners = [] if settings.grpc_port is None else [_grpc_listener(server)]
        process = Process(server, listeners)
    except (SettingsError, DeviceError, KeysError) as error:
        print(f"bijecta: {error}", file=sys.stderr)
        return 1
    process.run()
    log.say_counts(at_end=True)
    code = 0
    if server.failure is not None:
        print(f"bijecta: {server.failure}", file=sys.stderr)
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


def _grpc_listener(server: "Server") -> "GrpcListener":
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
    return GrpcListener(server)


if __name__ == "__main__":
    sys.exit(main())
