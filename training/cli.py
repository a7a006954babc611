"""The subcommands that training adds to `bijecta`; torch is imported only when one of them runs."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

Handler = Callable[[argparse.Namespace], int]

INTERRUPTED = 130


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the commands of training: the entry point of group `bijecta.commands`."""
    train = commands.add_parser("train", help="fit a flow by maximum likelihood")
    _add_training_arguments(train, "in place of the recipe's source, or where its files lie")
    train.set_defaults(handler=_handler("train"))

    distill = commands.add_parser("distill", help="teach a flow that draws fast what a run knows")
    distill.add_argument("teacher", type=Path, metavar="TEACHER_RUN")
    _add_training_arguments(distill, "the teacher's data, where it has moved")
    distill.set_defaults(handler=_handler("distill"))

    evaluate = commands.add_parser("evaluate", help="score a run on its held-out rows")
    evaluate.add_argument("run", type=Path, metavar="RUN")
    evaluate.add_argument("--data", type=Path, help="the run's data, where it has moved")
    evaluate.add_argument("--scores", type=Path, metavar="FILE", help="each row's, as Parquet")
    evaluate.set_defaults(handler=_handler("evaluate"))

    export = commands.add_parser("export", help="write a run as a verified bundle in a store")
    export.add_argument("run", type=Path, metavar="RUN")
    export.add_argument("--store", type=Path, required=True, help="folder of bundles")
    export.add_argument("--name", help="name of the bundle (the run's)")
    export.add_argument("--data", type=Path, help="the run's data, where it has moved")
    export.add_argument(
        "--inverse",
        type=lambda name: {"ordered": "sequential"}.get(name, name),  # its former name
        choices=["auto", "sequential", "jacobi"],
        default="auto",
        help="how masked layers are inverted; auto: the fastest here, measured",
    )
    export.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="change below which sweeps of jacobi stop, relative to max(1, |x|) (0: exact)",
    )
    export.set_defaults(handler=_handler("export"))


def _add_training_arguments(command: argparse.ArgumentParser, data: str) -> None:
    command.add_argument("recipe", help="a TOML file, or the name of a recipe that comes along")
    command.add_argument("--data", type=Path, help=data)
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<recipe>)")
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    command.add_argument(
        "--tensorboard", action="store_true", help="write the log to RUN/tensorboard too"
    )


def _handler(name: str) -> Handler:
    """A function of `training.commands`, imported late, its errors made one line on stderr."""

    def handle(arguments: argparse.Namespace) -> int:
        from training.errors import TrainingError

        try:
            run = getattr(importlib.import_module("training.commands"), name)
        except ModuleNotFoundError as error:
            return _fail(
                f"`bijecta {name}` needs {error.name}, which a serving install leaves out: "
                "pip install 'bijecta[train]'"
            )
        try:
            run(arguments)
        except (TrainingError, OSError) as error:
            return _fail(str(error))
        except KeyboardInterrupt:
            print("\ninterrupted: the same command goes on from here", file=sys.stderr)
            return INTERRUPTED
        return 0

    return handle


def _fail(message: str) -> int:
    print(f"bijecta: {message}", file=sys.stderr)
    return 1
