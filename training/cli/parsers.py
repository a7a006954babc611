"""What each subcommand is told."""

import argparse
from pathlib import Path

from training.cli.arguments import (
    add_bundle_arguments,
    add_inverse_arguments,
    add_table_arguments,
    add_training_arguments,
    add_what_is_drawn,
    folder,
    minutes,
    shape,
    weights,
)
from training.cli.handler import handler


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the training commands: the entry point of the group `bijecta.commands`."""
    train = commands.add_parser("train", help="fit a flow by maximum likelihood")
    add_training_arguments(train, "replaces the recipe's source, or the folder of its files")
    train.set_defaults(handler=handler("train"))

    inspect = commands.add_parser("inspect", help="say what the columns of a table hold")
    add_table_arguments(inspect)
    inspect.add_argument("--recipe", type=Path, metavar="FILE", help="write a recipe for the table")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(handler=handler("inspect", "training.inspection"))

    fit = commands.add_parser("fit", help="choose, train and export a model of a table")
    add_table_arguments(fit)
    fit.add_argument("--name", required=True, help="name of the model")
    fit.add_argument("--store", type=folder, required=True, help="folder of bundles")
    fit.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<name>)")
    fit.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    fit.add_argument(
        "--minutes",
        type=minutes,
        default=5.0,
        help="after which no further candidate is begun (5)",
    )
    add_bundle_arguments(fit)
    fit.set_defaults(handler=handler("fit", "training.selection"))

    _add_detector(commands)

    distill = commands.add_parser("distill", help="fit a flow that draws fast to the flow of a run")
    distill.add_argument("teacher", type=Path, metavar="TEACHER_RUN")
    add_training_arguments(distill, "the teacher's data, if it has moved")
    distill.set_defaults(handler=handler("distill"))

    evaluate = commands.add_parser("evaluate", help="score a run on its held-out rows")
    evaluate.add_argument("run", type=Path, metavar="RUN")
    evaluate.add_argument("--data", type=Path, help="the run's data, if it has moved")
    evaluate.add_argument(
        "--scores", type=Path, metavar="FILE", help="write each row's score to this Parquet file"
    )
    evaluate.add_argument(
        "--coverage", action="store_true", help="compare held-out rows with draws, by their ranks"
    )
    evaluate.set_defaults(handler=handler("evaluate"))

    export = commands.add_parser("export", help="write a run as a verified bundle in a store")
    export.add_argument("run", type=Path, metavar="RUN")
    export.add_argument("--store", type=folder, required=True, help="folder of bundles")
    export.add_argument("--name", help="name of the bundle (the run's)")
    export.add_argument("--data", type=Path, help="the run's data, if it has moved")
    add_inverse_arguments(export)
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
    add_bundle_arguments(export)
    export.set_defaults(handler=handler("export"))

    _add_ensemble(commands)
    _add_plot(commands)
    _add_report(commands)


def _add_ensemble(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta ensemble` is told."""
    ensemble = commands.add_parser(
        "ensemble", help="write the mixture of several runs as one verified bundle"
    )
    ensemble.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    ensemble.add_argument("--store", type=folder, required=True, help="folder of bundles")
    ensemble.add_argument("--name", help="name of the bundle (the first run's, and -ensemble)")
    ensemble.add_argument("--data", type=Path, help="the data of the runs, if it has moved")
    ensemble.add_argument(
        "--weights",
        type=weights,
        default=("equal", None),
        metavar="{equal,fitted,W,W,…}",
        help="of the runs: equal; fitted to their validation rows; or numbers (equal)",
    )
    add_inverse_arguments(ensemble)
    ensemble.add_argument(
        "--next-version",
        action="store_true",
        help="make the next version, though the newest one is of other runs, or of these",
    )
    ensemble.set_defaults(handler=handler("ensemble", "training.ensembles"))


def _add_detector(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta fit-detector` is told."""
    detector = commands.add_parser(
        "fit-detector",
        help="fit, calibrate and export a detector of anomalies in a table or in images",
    )
    add_table_arguments(detector)
    detector.add_argument(
        "--shape",
        type=shape,
        metavar="N,N,…",
        help="of a row, such as 1,28,28: the file holds arrays (images, sounds), not a table",
    )
    detector.add_argument("--window", type=int, metavar="SAMPLES", help="of sounds: of a row")
    detector.add_argument("--name", required=True, help="name of the model")
    detector.add_argument("--store", type=folder, required=True, help="folder of bundles")
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
    add_bundle_arguments(detector)
    detector.set_defaults(handler=handler("fit_detector", "training.detection"))


def _add_plot(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta plot` is told."""
    plot = commands.add_parser("plot", help="draw pictures of a run or of a bundle")
    add_what_is_drawn(plot)
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
    plot.set_defaults(handler=handler("plot", "training.plots"))


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What `bijecta report` is told."""
    report = commands.add_parser(
        "report", help="write a page on a run or a bundle: its data, figures, plots and commands"
    )
    add_what_is_drawn(report)
    report.add_argument(
        "--output", "--out", type=Path, metavar="FILE.html", help="the page (reports/NAME.html)"
    )
    report.add_argument(
        "--bundle", type=Path, help="of a run: its bundle, which the page is to be on as well"
    )
    report.add_argument(
        "--trusted-keys", type=Path, metavar="FILE", help="public keys to check a signature with"
    )
    report.set_defaults(handler=handler("report", "training.html_report"))
