"""Opening a run or creating it, and finding the data of one."""

from pathlib import Path

from models import zoo
from training.config import FILES, Recipe, moved
from training.data import Dataset, flow_arguments, load_dataset
from training.errors import RunError, TrainingError
from training.runs.run import Run, RunFile


def open_or_create(
    folder: Path,
    name: str,
    chosen: Recipe,
    dataset: Dataset,
    teacher: Run | None = None,
) -> Run:
    """The run in a folder, or a new one.

    Args:
        folder: of the run.
        name: of a new one.
        chosen: its recipe.
        dataset: its data.
        teacher: of a student, the run that it learns from.

    Raises:
        RunError: the folder holds a run of another recipe, other data or another teacher.
        TrainingError: the recipe makes no flow for this data.
    """
    taught_by = None if teacher is None else teacher.as_teacher()
    if (folder / "run.json").exists():
        run = Run.open(folder)
        # the same data may have moved
        known = run.file.recipe.data
        both = {part: (getattr(known, part), getattr(chosen.data, part)) for part in FILES}
        places = {k: new for k, (old, new) in both.items() if isinstance(old, str)}
        known = known.model_copy(update=places)
        before = run.file.recipe.model_copy(update={"data": known})
        if (before, run.file.data_sha256) != (chosen, dataset.sha256):
            raise RunError(
                f"{folder} holds a run of another recipe or other data: choose another --out, "
                "or remove it"
            )
        hashes = {None if one is None else one.sha256 for one in (run.file.teacher, taught_by)}
        if len(hashes) > 1:
            raise RunError(f"{folder} holds a run of another teacher: choose another --out")
        return run
    if teacher is None:
        flow = flow_arguments(dataset, chosen.flow)
    else:  # the same preprocessing and context
        learned = {"family": chosen.flow.family, "options": chosen.flow.options}
        flow = teacher.file.flow | learned
    try:
        zoo.build(**flow)
    except ValueError as error:  # refused before there is a run of it
        raise TrainingError(f"the recipe makes no flow for this data: {error}") from None
    file = RunFile(
        name=name, recipe=chosen, flow=flow, data_sha256=dataset.sha256, teacher=taught_by
    )
    return Run.create(folder, file)


def dataset_of(run: Run, moved_to: Path | None) -> Dataset:
    """The data of a run.

    Args:
        run: the run.
        moved_to: where its data has moved; None where it has not.

    Raises:
        RunError: what is there is not what the run was trained on.
    """
    source = run.file.recipe.data
    if moved_to is not None:
        source = moved(source, moved_to)
    dataset = load_dataset(source)
    if dataset.sha256 != run.file.data_sha256:
        raise RunError(
            f"{source.source} is not the data of {run.folder}: expected sha256 "
            f"{run.file.data_sha256}, found {dataset.sha256}"
        )
    return dataset
