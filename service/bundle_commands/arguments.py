"""The arguments of commands on bundles: `score`, `calibrate`, `compare`, `sign`, `verify`."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from service import argument_types
from service.store_commands import folder

BUNDLE = "store/NAME, store/NAME@ALIAS or store/NAME/VERSION"


def add_bundle_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add them."""
    _add_score(commands)
    _add_detectors(commands)
    _add_signing(commands)


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
    score.set_defaults(handler=_handler("score", "score_files"))


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
    one.set_defaults(handler=_handler("detectors", "calibrate"))
    two = commands.add_parser("compare", help="compare two bundles on the same rows, with errors")
    two.add_argument("a", metavar="A", help=BUNDLE)
    two.add_argument("b", metavar="B")
    two.add_argument("--data", type=Path, required=True, metavar="TABLE", help="a file of rows")
    two.add_argument(
        "--labels", metavar="COLUMN", help="says which rows are anomalies: compares AUROC too"
    )
    two.set_defaults(handler=_handler("detectors", "compare"))
    for each in (one, two):
        each.add_argument("--device", default="cpu", help="as of serve (cpu)")


def _add_signing(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sign` and `verify`."""
    one = commands.add_parser("sign", help="sign bundles, for servers with --trusted-keys")
    two = commands.add_parser("verify", help="see that bundles are whole, and signed")
    for each, function in ((one, "sign_bundles"), (two, "verify_bundles")):
        each.add_argument("bundles", nargs="+", metavar="BUNDLE", help=BUNDLE)
        each.set_defaults(handler=_handler("signatures", function))
    one.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="private key of Ed25519, in PEM"
    )
    two.add_argument(
        "--trusted-keys", type=Path, required=True, metavar="FILE", help="public keys, in PEM"
    )


def _handler(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """A function of a module beside this one, which is imported when it runs."""

    def handle(arguments: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"{__package__}.{module}"), function)(arguments)
        return code

    return handle
