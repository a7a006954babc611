"""Opening a run or creating it, and finding the data of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.density import Density
from models.flow import Flow
from training.config import (
    FILES,
    AnySpec,
    DataSource,
    FlowSpec,
    Recipe,
    TableColumns,
    TabularSpec,
    moved,
)
from training.data import AnyDataset, Dataset, TypedDataset, load_rows
from training.errors import RunError, TrainingError
from training.preprocessing import flow_spec
from training.runs.run import Run, RunFile


def open_or_create(
    folder: Path,
    name: str,
    recipe: Recipe,
    dataset: Dataset | TypedDataset,
    teacher: Run | None = None,
) -> Run:
    """Open the run in a folder, or create one.

    Args:
        folder: of the run.
        name: of a new run.
        recipe: that the run follows.
        dataset: its data.
        teacher: of a student, the run that it learns from.

    Raises:
        RunError: the folder holds a run of another recipe, other data or another teacher.
        TrainingError: the recipe makes no flow for this data.
    """
    if (folder / "run.json").exists():
        return _open(folder, recipe, dataset, teacher)
    flow: AnySpec
    built: Density
    if teacher is not None:
        flow, built = new_student(recipe, teacher)
    else:
        with _refused_before_there_is_a_run():
            flow = flow_spec(dataset, recipe.flow)
            built = flow.build()
    fit = recipe.fit
    is_small_table = isinstance(flow, TabularSpec) and flow.rows < SMALL_TABLE_ROWS
    if is_small_table and "batch_size" not in fit.model_fields_set:
        fit = fit.model_copy(update={"batch_size": SMALL_TABLE_BATCH})
    if fit.threads is None and _is_small(built, fit.batch_size):
        fit = fit.model_copy(update={"threads": 1})
    recipe = recipe.model_copy(update={"fit": fit})
    file = RunFile(
        name=name,
        recipe=recipe,
        flow=flow,
        data_sha256=dataset.sha256,
        teacher=None if teacher is None else teacher.as_teacher(),
    )
    return Run.create(folder, file)


def new_student(recipe: Recipe, teacher: Run) -> tuple[FlowSpec, Flow]:
    """What a student's recipe describes, and a fresh flow of it.

    Preprocessing and context are those of its teacher.

    Raises:
        TrainingError: the recipe makes no flow for the teacher's data.
    """
    student = {"family": recipe.flow.family, "options": recipe.flow.options}
    spec = teacher.flow_spec.model_copy(update=student)
    with _refused_before_there_is_a_run():
        return spec, spec.build()


@contextmanager
def _refused_before_there_is_a_run() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise TrainingError(f"the recipe makes no flow for this data: {error}") from None


# Tables of typed columns with fewer training rows make smaller steps where the recipe does not say:
# on OddBench tables of 367 and 434 rows batches of 64 scored 2.4 and 0.5 nats better than of 128
# after as many epochs, and no better on one of 1186.
SMALL_TABLE_ROWS, SMALL_TABLE_BATCH = 1000, 64

# Multiplications of a step from which on several threads are faster.
MIN_SHARED_MULTIPLICATIONS = 2**28

# Keys whose defaults have changed, or follow from the flow.
CHANGED_DEFAULTS = {
    "data": ("repeated_rows",),
    "distill": ("losses",),
    "fit": ("average", "batch_size", "learning_rate", "patience", "threads"),
}


def with_stored_defaults(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe of a run that goes on, or the recipe itself where a folder holds no run.

    A key of `CHANGED_DEFAULTS` that the recipe leaves out has the value with which the run began:
    the rows that it holds out, for one, stay the same.
    """
    if not (folder / "run.json").exists():
        return recipe
    stored = Run.open(folder).file.recipe
    sections = {}
    for section, keys in CHANGED_DEFAULTS.items():
        now, then = getattr(recipe, section), getattr(stored, section)
        if now is None or then is None:  # only students have [distill]
            continue
        left_out = [key for key in keys if hasattr(now, key) and key not in now.model_fields_set]
        update = {key: getattr(then, key) for key in left_out if hasattr(then, key)}
        sections[section] = now.model_copy(update=update)
    return recipe.model_copy(update=sections)


def _is_small(flow: Density, batch_size: int) -> bool:
    """Whether one thread trains a flow as fast as several.

    Those of a small one wait for each other at every layer: beside another busy process a small MAF
    made 312 rows a second with two threads, and 9,400 with one.
    """
    multiplications = batch_size * sum(parameter.numel() for parameter in flow.parameters())
    return multiplications < MIN_SHARED_MULTIPLICATIONS


def _open(folder: Path, recipe: Recipe, dataset: AnyDataset, teacher: Run | None) -> Run:
    """Open a run that has this recipe, data and teacher."""
    run = Run.open(folder)
    recipe = with_stored_defaults(folder, recipe)
    data = _with_files_of(run.file.recipe.data, recipe.data)  # the same data may have moved
    expected = run.file.recipe.model_copy(update={"data": data})
    if (expected, run.file.data_sha256) != (recipe, dataset.sha256):
        raise RunError(
            f"{folder} holds a run of another recipe or other data: choose another --out, "
            "or remove it"
        )
    taught_by = None if teacher is None else teacher.as_teacher().sha256
    if taught_by != (None if run.file.teacher is None else run.file.teacher.sha256):
        raise RunError(f"{folder} holds a run of another teacher: choose another --out")
    return run


def _with_files_of(source: DataSource, other: DataSource) -> DataSource:
    """A source whose files are where another's are."""
    old, new = source.model_dump(include=set(FILES)), other.model_dump(include=set(FILES))
    moved_keys = {key for key, value in old.items() if isinstance(value, str)}
    return source.model_copy(update={key: new[key] for key in moved_keys & new.keys()})


def columns_of(folder: Path, recipe: Recipe) -> TableColumns | None:
    """What the run in a folder has decided of the columns of a recipe's table.

    None where the folder holds no run of the same [data], which `open_or_create` refuses.
    """
    if not (folder / "run.json").exists():
        return None
    stored = Run.open(folder).file
    if not isinstance(stored.flow, TabularSpec):
        return None
    same = _with_files_of(stored.recipe.data, recipe.data) == recipe.data
    return stored.flow.columns if same else None


def dataset_of(run: Run, moved_to: Path | None) -> Dataset:
    """The data of a run that has a flow; see `rows_of`.

    Raises:
        RunError: it has none, or the data there is not what the run was trained on.
    """
    _ = run.flow_spec
    dataset = rows_of(run, moved_to)
    assert isinstance(dataset, Dataset)
    return dataset


def rows_of(run: Run, moved_to: Path | None) -> Dataset | TypedDataset:
    """The data of a run.

    Args:
        run: the run.
        moved_to: where its data is now; None if it has not moved.

    Raises:
        RunError: the data there is not what the run was trained on.
    """
    source = run.file.recipe.data
    if moved_to is not None:
        source = moved(source, moved_to)
    spec = run.file.flow
    columns = spec.columns if isinstance(spec, TabularSpec) else None
    dataset = load_rows(source, columns is not None, columns)
    if dataset.sha256 != run.file.data_sha256:
        raise RunError(
            f"{source.source} is not the data of {run.folder}: expected sha256 "
            f"{run.file.data_sha256}, found {dataset.sha256}"
        )
    return dataset
