"""The subcommands that training adds to `bijecta`; torch is imported only when one of them runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

Handler = Callable[[argparse.Namespace], int]

# What commands look at before torch is imported, which takes seconds.
_BEFORE_TORCH = {
    "train": ("training.first_look", "look"),
    "fit": ("training.inspection", "look_at_table"),
    "fit_detector": ("training.inspection", "look_at_detector_data"),
}

# The modules of the extra `plots`, which pages are made with too.
PLOTS = ("jinja2", "markupsafe", "matplotlib", "PIL")

# How torch says that the system gives it no memory.
ALLOCATION = "can't allocate memory"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the training commands: the entry point of the group `bijecta.commands`."""
    train = commands.add_parser("train", help="fit a flow by maximum likelihood")
    _add_training_arguments(train, "replaces the recipe's source, or the folder of its files")
    train.set_defaults(handler=_handler("train"))

    inspect = commands.add_parser("inspect", help="say what the columns of a table hold")
    _add_table_arguments(inspect)
    inspect.add_argument("--recipe", type=Path, metavar="FILE", help="write a recipe for the table")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(handler=_handler("inspect", "training.inspection"))

    fit = commands.add_parser("fit", help="choose, train and export a model of a table")
    _add_table_arguments(fit)
    fit.add_argument("--name", required=True, help="name of the model")
    fit.add_argument("--store", type=_folder, required=True, help="folder of bundles")
    fit.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<name>)")
    fit.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    fit.add_argument(
        "--minutes",
        type=_minutes,
        default=5.0,
        help="after which no further candidate is begun (5)",
    )
    _add_bundle_arguments(fit)
    fit.set_defaults(handler=_handler("fit", "training.selection"))

    _add_detector(commands)

    distill = commands.add_parser("distill", help="fit a flow that draws fast to the flow of a run")
    distill.add_argument("teacher", type=Path, metavar="TEACHER_RUN")
    _add_training_arguments(distill, "the teacher's data, if it has moved")
    distill.set_defaults(handler=_handler("distill"))

    evaluate = commands.add_parser("evaluate", help="score a run on its held-out rows")
    evaluate.add_argument("run", type=Path, metavar="RUN")
    evaluate.add_argument("--data", type=Path, help="the run's data, if it has moved")
    evaluate.add_argument(
        "--scores", type=Path, metavar="FILE", help="write each row's score to this Parquet file"
    )
    evaluate.add_argument(
        "--coverage", action="store_true", help="compare held-out rows with draws, by their ranks"
    )
    evaluate.set_defaults(handler=_handler("evaluate"))

    export = commands.add_parser("export", help="write a run as a verified bundle in a store")
    export.add_argument("run", type=Path, metavar="RUN")
    export.add_argument("--store", type=_folder, required=True, help="folder of bundles")
    export.add_argument("--name", help="name of the bundle (the run's)")
    export.add_argument("--data", type=Path, help="the run's data, if it has moved")
    _add_inverse_arguments(export)
    export.add_argument(
        "--guess",
        type=Path,
        metavar="STUDENT_RUN",
        help="a student of the run, from whose draws sweeps start where that is faster",
    )
    export.add_argument(
        "--layers",
        action="store_true",
        help="add a graph of every layer's output, of flows of up to three dimensions",
    )
    _add_bundle_arguments(export)
    export.set_defaults(handler=_handler("export"))

    _add_ensemble(commands)
    _add_plot(commands)
    _add_report(commands)


def _add_ensemble(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta ensemble` is told."""
    ensemble = commands.add_parser(
        "ensemble", help="write the mixture of several runs as one verified bundle"
    )
    ensemble.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    ensemble.add_argument("--store", type=_folder, required=True, help="folder of bundles")
    ensemble.add_argument("--name", help="name of the bundle (the first run's, and -ensemble)")
    ensemble.add_argument("--data", type=Path, help="the data of the runs, if it has moved")
    ensemble.add_argument(
        "--weights",
        type=_weights,
        default=("equal", None),
        metavar="{equal,fitted,W,W,…}",
        help="of the runs: equal; fitted to their validation rows; or numbers (equal)",
    )
    _add_inverse_arguments(ensemble)
    ensemble.add_argument(
        "--next-version",
        action="store_true",
        help="make the next version, though the newest one is of other runs, or of these",
    )
    ensemble.set_defaults(handler=_handler("ensemble", "training.ensembles"))


def _add_inverse_arguments(command: argparse.ArgumentParser) -> None:
    """How latents are decoded, and whether they have to lead back."""
    command.add_argument(
        "--inverse",
        choices=["auto", "sequential", "jacobi", "ordered"],
        metavar="{auto,sequential,jacobi}",  # the former name of sequential still works
        default="auto",
        help="how masked layers and transformers are inverted; auto: the fastest here, measured",
    )
    command.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="change up to which rows of jacobi stop, relative to max(1, |x|) (0: exact)",
    )
    command.add_argument(
        "--accept-residual",
        action="store_true",
        help="export a flow though held-out rows do not come back from their latents",
    )


def _add_detector(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta fit-detector` is told."""
    detector = commands.add_parser(
        "fit-detector",
        help="fit, calibrate and export a detector of anomalies in a table or in images",
    )
    _add_table_arguments(detector)
    detector.add_argument(
        "--shape",
        type=_shape,
        metavar="N,N,…",
        help="of a row, such as 1,28,28: the file holds arrays (images, sounds), not a table",
    )
    detector.add_argument("--window", type=int, metavar="SAMPLES", help="of sounds: of a row")
    detector.add_argument("--name", required=True, help="name of the model")
    detector.add_argument("--store", type=_folder, required=True, help="folder of bundles")
    detector.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<name>)")
    detector.add_argument(
        "--contaminated",
        action="store_true",
        help="some rows of the table may be anomalies; without it all are taken for normal",
    )
    detector.add_argument(
        "--labels",
        metavar="COLUMN",
        help="says which rows are anomalies (1, true, yes): it evaluates, and never trains; "
        "without --contaminated anomalies are left out of training",
    )
    detector.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="COLUMN",
        help="numbers that rows are conditioned on, not judged by; can be given several times",
    )
    detector.add_argument(
        "--within",
        metavar="COLUMN",
        help="classes that rows are conditioned on and compared within",
    )
    detector.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    _add_bundle_arguments(detector)
    detector.set_defaults(handler=_handler("fit_detector", "training.detection"))


def _add_plot(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta plot` is told."""
    plot = commands.add_parser("plot", help="draw pictures of a run or of a bundle")
    _add_what_is_drawn(plot)
    plot.add_argument(
        "--kind",
        action="append",
        default=[],
        help="of plot, can be given several times; all that the model has where left out",
    )
    plot.add_argument(
        "--out", type=Path, metavar="FILE|FOLDER", help="a file of one plot, or a folder (plots)"
    )
    plot.add_argument(
        "--format",
        choices=["png", "svg", "gif", "mp4"],
        help="gif of what moves and png of the rest, where left out; mp4 needs ffmpeg",
    )
    plot.set_defaults(handler=_handler("plot", "training.plots"))


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta report` is told."""
    report = commands.add_parser(
        "report", help="write a page on a run or a bundle: its data, figures, plots and commands"
    )
    _add_what_is_drawn(report)
    report.add_argument(
        "--output", "--out", type=Path, metavar="FILE.html", help="the page (reports/NAME.html)"
    )
    report.add_argument(
        "--bundle", type=Path, help="of a run: its bundle, which the page is to be on as well"
    )
    report.add_argument(
        "--trusted-keys", type=Path, metavar="FILE", help="public keys to check a signature with"
    )
    report.set_defaults(handler=_handler("report", "training.html_report"))


def _add_what_is_drawn(command: argparse.ArgumentParser) -> None:
    """A model, and how it is drawn."""
    command.add_argument(
        "model",
        type=Path,
        metavar="RUN|BUNDLE",
        help="a run folder, store/NAME or store/NAME/VERSION",
    )
    command.add_argument(
        "--data",
        type=Path,
        help="of a run: its data, if it has moved; of a bundle: rows to draw it beside",
    )
    command.add_argument("--seed", type=_seed, default=0, help="of all that is random (0)")
    command.add_argument(
        "--shape", type=_shape, metavar="N,N,…", help="of rows that are pictures, such as 28,28"
    )


def _add_training_arguments(command: argparse.ArgumentParser, data: str) -> None:
    command.add_argument(
        "recipe", help="a TOML file, or the name of a recipe that comes with Bijecta"
    )
    command.add_argument("--data", type=Path, help=data)
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<recipe>)")
    command.add_argument("--name", help="name of the run, and of its bundle (the run folder's)")
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    command.add_argument(
        "--tensorboard", action="store_true", help="also write the log to RUN/tensorboard"
    )


def _add_table_arguments(command: argparse.ArgumentParser) -> None:
    """What the user says of the columns of a table; each option can be given several times."""
    command.add_argument("table", type=Path, metavar="TABLE")
    command.add_argument("--key", metavar="NAME", help="the array of an .npz file")
    command.add_argument(
        "--header", choices=["true", "false"], help="whether the first line of a text file is names"
    )
    command.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="leave out")
    command.add_argument(
        "--keep", action="append", default=[], metavar="COLUMN", help="model it all the same"
    )
    command.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="COLUMN=KIND",
        help="numeric, lattice, categorical, datetime, duration, or a form of times or durations: "
        "datetime %%d/%%m/%%Y, duration %%M:%%S",
    )


def _add_bundle_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--next-version",
        action="store_true",
        help="make the next version, though the newest one is of another run, or of these weights",
    )
    command.add_argument(
        "--no-values",
        action="store_true",
        help="of a table: put no row of the data in the bundle to test its graphs with; detectors "
        "compare with rows of the data, and refuse it",
    )


def _shape(text: str) -> list[int]:
    """Sides of an array, above zero."""
    sides = [int(side) for side in text.split(",")]
    if min(sides) < 1:
        raise ValueError(text)
    return sides


def _seed(text: str) -> int:
    """A whole number from 0, as a generator takes it."""
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise ValueError(text)
    return seed


def _folder(text: str) -> Path:
    """A folder to write bundles to, and no address of a store elsewhere."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            "expected a folder: write to one, and `bijecta store push ADDRESS` uploads it"
        )
    return Path(text)


def _weights(text: str) -> tuple[str, list[float] | None]:
    """Where weights are from, and those that are given, divided by their sum."""
    if text in ("equal", "fitted"):
        return text, None
    try:
        given = [float(word) for word in text.split(",")]
    except ValueError:
        given = []
    total = sum(given)
    if not (given and min(given) >= 0 and 0 < total < float("inf")):
        raise argparse.ArgumentTypeError(
            f"expected equal, fitted, or numbers from 0 with commas between them, got {text!r:.80}"
        )
    return "given", [weight / total for weight in given]


def _minutes(text: str) -> float:
    """A time above zero."""
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise ValueError(text)
    return minutes


def _handler(name: str, module: str = "training.commands") -> Handler:
    """A handler that imports and calls a function of a module.

    Its errors become one line on stderr.
    """

    def handle(arguments: argparse.Namespace) -> int:
        from training.errors import TrainingError
        from training.memory import limit_memory

        limit_memory()
        # Threads that wait for others give their core away; read when torch is imported. Beside
        # busy processes two threads decoded 256 rows of 784 coordinates in 0.5 CPU-seconds, and in
        # 5 to 7 where they spin; one thread took 0.4.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            if name in _BEFORE_TORCH:
                first_module, first = _BEFORE_TORCH[name]
                arguments.looked_at = getattr(importlib.import_module(first_module), first)(
                    arguments
                )
            run = getattr(importlib.import_module(module), name)
            if sys.modules.get("torch"):  # which `inspect` does without
                importlib.import_module("training.scoring").use_granted_cpus()
        except ModuleNotFoundError as error:
            command = name.replace("_", "-")
            needed = (error.name or "").partition(".")[0]
            extra = "plots" if needed in PLOTS else "train"
            return _fail(
                f"`bijecta {command}` needs {needed}, which a serving install leaves out: "
                f"pip install 'bijecta[{extra}]'"
            )
        except (TrainingError, OSError) as error:
            return _fail(str(error))
        except MemoryError as error:
            return _fail(_too_large(error))
        try:
            run(arguments)
        except (TrainingError, OSError) as error:
            return _fail(str(error))
        except MemoryError as error:
            return _fail(_too_large(error))
        except RuntimeError as error:
            if ALLOCATION not in str(error):
                raise
            return _fail(_too_large(error))
        except KeyboardInterrupt:
            print(
                "\ninterrupted: "
                + (
                    "the same command begins anew"
                    if name in ("ensemble", "fit_detector", "plot", "report")
                    else "the same command goes on from what was saved last, which is every half "
                    "minute"
                ),
                file=sys.stderr,
            )
            raise
        return 0

    return handle


def _too_large(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return f"this takes more memory than the machine has{': ' if said else ''}{said}"


def _fail(message: str) -> int:
    print(f"bijecta: {message}", file=sys.stderr)
    return 1
