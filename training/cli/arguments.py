"""Arguments that several subcommands have, and the types of their values."""

import argparse
import tomllib
from pathlib import Path
from typing import Any


def add_inverse_arguments(command: argparse.ArgumentParser) -> None:
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


def add_what_is_drawn(command: argparse.ArgumentParser) -> None:
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
    command.add_argument("--seed", type=seed, default=0, help="of all that is random (0)")
    command.add_argument(
        "--shape", type=shape, metavar="N,N,…", help="of rows that are pictures, such as 28,28"
    )


def add_training_arguments(command: argparse.ArgumentParser, data: str) -> None:
    """A recipe, where its run is to be, and how it is trained; `data` is the help of `--data`."""
    command.add_argument(
        "recipe", help="a TOML file, or the name of a recipe that comes with Bijecta"
    )
    command.add_argument("--data", type=Path, help=data)
    command.add_argument(
        "--set",
        dest="overrides",
        type=override,
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="take a key of the recipe for this value, such as fit.epochs=2; can be given several "
        "times",
    )
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/<recipe>)")
    command.add_argument("--name", help="name of the run, and of its bundle (the run folder's)")
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    command.add_argument(
        "--tensorboard", action="store_true", help="also write the log to RUN/tensorboard"
    )


def add_table_arguments(command: argparse.ArgumentParser) -> None:
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


def add_bundle_arguments(command: argparse.ArgumentParser) -> None:
    """How a bundle is published, and whether it holds rows of the data."""
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


def shape(text: str) -> list[int]:
    """Sides of an array, above zero."""
    sides = [int(side) for side in text.split(",")]
    if min(sides) < 1:
        raise ValueError(text)
    return sides


def seed(text: str) -> int:
    """A whole number from 0, as a generator takes it."""
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise ValueError(text)
    return seed


def override(text: str) -> tuple[list[str], Any]:
    """A key of a recipe and its value, as TOML has it; what is no TOML is text without quotes."""
    key, equals, value = (part.strip() for part in text.partition("="))
    keys = key.split(".")
    if not (equals and len(keys) > 1 and all(keys)):
        raise argparse.ArgumentTypeError(
            f"expected SECTION.KEY=VALUE, such as fit.epochs=2, got {text!r:.80}"
        )
    try:
        (given,) = tomllib.loads(f"value = {value}").values()
    except ValueError:  # no TOML, or more lines than one
        given = value
    return keys, given


def folder(text: str) -> Path:
    """A folder to write bundles to, and no address of a store elsewhere."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            "expected a folder: write to one, and `bijecta store push ADDRESS` uploads it"
        )
    return Path(text)


def weights(text: str) -> tuple[str, list[float] | None]:
    """Where weights are from, and those that are given."""
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
    return "given", given


def minutes(text: str) -> float:
    """A time above zero."""
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise ValueError(text)
    return minutes
