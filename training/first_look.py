"""What `bijecta train` looks at before torch is imported, which takes seconds.

A table is mended and tried again, several times as a rule: what refuses it must not wait for torch.
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.bundle import NAME
from training.config import FILES, DataSource, load_data_source
from training.data import Dataset, TypedDataset, load_rows
from training.errors import TrainingError

# Larger files take longer to read than torch takes to import: the whole recipe is checked first.
MAX_BYTES = 2**28


@dataclass(frozen=True)
class LookedAt:
    """Data that is loaded already, the section that it was loaded by, and by which loader."""

    source: DataSource
    typed: bool
    dataset: Dataset | TypedDataset


def look(arguments: Namespace) -> LookedAt | None:
    """Load the data of a run that begins.

    None where it is loaded later: the run goes on, [data] is wrong, which is said together with all
    else that is wrong in the recipe, or the files are large.

    Raises:
        TrainingError: no model may have the run's name, there is no such recipe, or its data is
            refused.
    """
    run_name(arguments)
    section = load_data_source(arguments.recipe, arguments.data, arguments.overrides)
    if section is None or (run_folder(arguments) / "run.json").exists():
        return None
    source, typed = section
    if sum(_sizes(source)) > MAX_BYTES:
        return None
    return LookedAt(source, typed, load_rows(source, typed))


def _sizes(source: DataSource) -> Iterator[int]:
    """The sizes of the files of a source, as far as they are looked at: in bytes."""
    for value in source.model_dump(include=set(FILES)).values():
        path = Path(value) if isinstance(value, str) else None
        if path is None or not path.exists():
            continue
        for file in path.rglob("*") if path.is_dir() else [path]:
            yield file.stat().st_size if file.is_file() else 0


def run_folder(arguments: Namespace) -> Path:
    """The run folder of a command that trains."""
    folder: Path = arguments.out or Path("runs") / Path(arguments.recipe).stem
    return folder


def run_name(arguments: Namespace) -> str:
    """The name of a run, by which it is exported: that of its folder, unless it is given.

    Raises:
        TrainingError: no bundle may have that name.
    """
    name: str = arguments.name or run_folder(arguments).resolve().name
    if NAME.fullmatch(name) is None:
        raise TrainingError(
            f"{name!r} cannot be the name of a model, which is small letters, digits, - and _: "
            "choose one with --name"
        )
    return name
