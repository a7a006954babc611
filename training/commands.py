"""What `bijecta train`, `distill`, `evaluate` and `export` do."""

from argparse import Namespace
from contextlib import nullcontext

import torch

from service.bundle import HeldOut
from training.config import (
    Recipe,
    TabularSpec,
    family_class,
    load_recipe,
    load_student,
    moved,
)
from training.coverage_of_runs import measure_coverage
from training.data import Dataset, TypedDataset, load_rows
from training.distill import Distillation, measure_fidelity, measured_fidelity, with_losses
from training.errors import TrainingError
from training.evaluate import TypedHeldOut, evaluated, held_out_calibration
from training.evaluate import evaluate as evaluate_run
from training.export import (
    FASTEST,
    Asked,
    check_layers,
    check_student,
    export_table,
    exported_already,
    inverse_request,
)
from training.export import export as export_run
from training.first_look import LookedAt, run_folder, run_name
from training.fit import (
    SINGLE_PROCESS,
    Processes,
    device_named,
    fit,
    fit_to,
    gaussianize,
    tensorboard_writer,
    why_float32,
)
from training.gaussian import gaussian_score
from training.progress import phase
from training.reporting import (
    print_coverage,
    print_exported,
    print_fidelity,
    print_inverses,
    print_measured_rows,
    print_score,
    say,
    warn,
)
from training.runs import (
    Progress,
    Run,
    columns_of,
    dataset_of,
    open_or_create,
    rows_of,
    training_lock,
    with_stored_defaults,
)
from training.single_column import CURVED, is_straight_line


def train(arguments: Namespace) -> None:
    """Fit a recipe's flow, or continue a run of the same recipe, and score the result."""
    device = device_named(arguments.device)
    recipe = load_recipe(arguments.recipe, arguments.data, arguments.overrides)
    recipe = with_stored_defaults(run_folder(arguments), recipe)
    looked_at: LookedAt | None = arguments.looked_at
    typed = recipe.flow.typed
    if looked_at is not None and (looked_at.source, looked_at.typed) == (recipe.data, typed):
        dataset = looked_at.dataset
    else:
        dataset = load_rows(recipe.data, typed, columns_of(run_folder(arguments), recipe))
    for note in dataset.notes:
        warn(f"{dataset.name}: {note}")
    _fit_and_score(arguments, recipe, dataset, device)


def distill(arguments: Namespace) -> None:
    """Fit a student to a run's flow, or continue to, and score the result."""
    run_name(arguments)  # refused before anything is read
    device = device_named(arguments.device)
    teacher = Run.open(arguments.teacher)
    dataset = dataset_of(teacher, arguments.data)
    recipe = load_student(arguments.recipe, teacher.file.recipe, arguments.overrides)
    if arguments.data is not None:
        recipe.data = moved(recipe.data, arguments.data)
    recipe, note = with_losses(recipe, teacher)
    if (run_folder(arguments) / "run.json").exists():  # which keeps to its own
        note = None
    _fit_and_score(arguments, recipe, dataset, device, teacher, note)


def _fit_and_score(
    arguments: Namespace,
    recipe: Recipe,
    dataset: Dataset | TypedDataset,
    device: torch.device,
    teacher: Run | None = None,
    note: str | None = None,
) -> None:
    """Train until the recipe ends, and print a note on the recipe and the scores of the result."""
    folder = run_folder(arguments)
    name = run_name(arguments)
    processes = Processes.join(device)
    with training_lock(folder) if processes.is_main_process else nullcontext():
        if processes.is_main_process:
            open_or_create(folder, name, recipe, dataset, teacher)
        processes.barrier()
        run = open_or_create(folder, name, recipe, dataset, teacher)
        if arguments.tensorboard and processes.is_main_process:
            run.listeners.append(tensorboard_writer(folder / "tensorboard"))
        if processes.is_main_process and note is not None:
            say(f"{name}: {note}")
        if processes.is_main_process and isinstance(dataset, Dataset):
            _say_what_one_column_is(run, dataset)
        if processes.is_main_process and (why := why_float32(device, recipe.fit.precision)):
            say(f"{name}: networks are trained in float32: {why}")
        progress = fit_run(run, dataset, device, processes)
    processes.leave()
    if not processes.is_main_process:
        return
    unit = "steps" if _without_gradients(run) else "epochs"
    say(
        f"{name}: best of {progress.epoch} {unit} is {progress.best_epoch}, "
        f"{progress.seconds:.0f} s; run in {folder}"
    )
    if progress.best_epoch == 1 and run.file.flow.options.get("rotation") == "none":
        say(f"{name}: one step without a rotation is the Gaussian copula of these marginals")
    with phase("evaluation"):
        score = evaluate_run(run, dataset)
    print_score(run, score)
    if isinstance(dataset, Dataset):
        with phase("calibration"):
            held_out_calibration(run, dataset)  # for the export
        _compare_with_gaussian(name, score, dataset, recipe.fit.seed + 1)
    if teacher is not None and isinstance(dataset, Dataset):
        with phase("fidelity"):
            fidelity = measure_fidelity(run, dataset)
        print_fidelity(run, fidelity)


def _say_what_one_column_is(run: Run, dataset: Dataset) -> None:
    rows = dataset.train.rows
    if _without_gradients(run) or rows[0].size != 1:
        return
    flow = run.new_flow()
    if is_straight_line(flow, float(rows.min()), float(rows.max())):
        normal = flow.base.name == "normal"
        what = "a Gaussian" if normal else f"its {flow.base.name} base, moved and scaled"
        say(
            f"{run.file.name}: of one column {run.file.flow.family} is exactly {what}"
            f"{', given the context' if dataset.context else ''}, whatever it learns; "
            f"{', '.join(CURVED)} are not"
        )


def _compare_with_gaussian(name: str, score: HeldOut, dataset: Dataset, seed: int) -> None:
    gaussian = gaussian_score(dataset, seed)
    if gaussian is not None and score.log_prob < gaussian - score.se:
        warn(
            f"{name}: a Gaussian of the training rows' mean and covariance scores {gaussian:.3f}: "
            "the flow has not learned these rows"
        )


def evaluate(arguments: Namespace) -> None:
    """Score a run's best weights."""
    run = Run.open(arguments.run)
    with phase("data"):
        dataset = rows_of(run, arguments.data)
    with phase("evaluation"):
        score = evaluate_run(run, dataset, arguments.scores)
    print_score(run, score)
    if arguments.coverage:
        with phase("coverage"):
            coverage = measure_coverage(run, dataset)
        print_coverage(run, coverage)
    if run.file.teacher is not None and isinstance(dataset, Dataset):
        with phase("fidelity"):
            fidelity = measure_fidelity(run, dataset)
        print_fidelity(run, fidelity)


def export(arguments: Namespace) -> None:
    """Score a run's best weights and write them as a bundle."""
    run = Run.open(arguments.run)
    name = arguments.name or run.file.name
    run.check_weights()
    asked = _asked_of_bundle(run, arguments)
    if not arguments.next_version:
        there = exported_already(run, arguments.store, name, asked)
        if there is not None:
            say(f"{there} holds these weights already: --next-version exports them once more")
            return
    with phase("data"):
        dataset = rows_of(run, arguments.data)
    with phase("evaluation"):
        evaluation = evaluated(run, dataset)
    if isinstance(dataset, TypedDataset):
        assert isinstance(evaluation, TypedHeldOut)
        folder, table = export_table(run, dataset, evaluation, arguments.store, name, asked.values)
        print_exported(folder, table)
        return
    fidelity = None
    if run.file.teacher is not None:
        with phase("fidelity"):
            fidelity = measured_fidelity(run, dataset)
    folder, manifest = export_run(
        run,
        dataset,
        evaluation,
        arguments.store,
        name,
        asked.request,
        fidelity,
        with_layers=asked.layers,
        accept_residual=arguments.accept_residual,
        student=asked.student,
    )
    print_exported(folder, manifest)
    print_measured_rows(folder, manifest)
    if manifest.layers is not None:
        say(f"{folder}: with the output of each of {len(manifest.layers.names)} layers")
    print_inverses(folder, manifest)
    if (taught := manifest.distilled) is not None and taught.version is None:
        say(
            f"{folder}: {arguments.store} has no bundle of its teacher, {taught.teacher}: one that "
            "is exported later is known by its weights"
        )
    guesses = [sweeps.guess for sweeps in manifest.sweeps.values()]
    if asked.student is not None and not any(guesses):
        warn(f"{folder}: sweeps from the guesses of {asked.student.folder} are not faster here")


def _asked_of_bundle(run: Run, arguments: Namespace) -> Asked:
    """The options of an export.

    Raises:
        TrainingError: the run has no use for one, or they do not go together.
    """
    if arguments.layers:
        check_layers(run)
    request = inverse_request(arguments.inverse, arguments.tolerance)
    student = None if arguments.guess is None else Run.open(arguments.guess)
    if student is not None:
        if request.method == "sequential":
            raise TrainingError("--guess is where sweeps start from: --inverse sequential has none")
        check_student(run, student)
    is_typed = isinstance(run.file.flow, TabularSpec)
    if is_typed and request != FASTEST:
        raise TrainingError(
            f"--inverse and --tolerance are for flows; {run.folder} is of family "
            f"{run.file.flow.family!r}, whose columns are decoded one after another"
        )
    if arguments.no_values and not is_typed:
        raise TrainingError(f"--no-values is for tables: {run.folder} is of a flow of numbers")
    return Asked(request, student, arguments.layers, not arguments.no_values)


def fit_run(
    run: Run,
    dataset: Dataset | TypedDataset,
    device: torch.device,
    processes: Processes = SINGLE_PROCESS,
) -> Progress:
    """Fit a run's flow: a student to its teacher, others to data, by gradients or without.

    Raises:
        TrainingError: several processes for a family that is fitted without gradients, or a
            student whose layers do not match its teacher's.
    """
    if isinstance(dataset, TypedDataset):
        return fit(run, dataset, device, processes)
    if run.file.teacher is not None:
        flow = run.new_flow().to(device)
        teacher = run.teacher().best_flow()
        return fit_to(run, Distillation(run, flow, teacher, dataset, processes), processes)
    if not _without_gradients(run):
        return fit(run, dataset, device, processes)
    if processes.size > 1:
        raise TrainingError("a flow that is fitted without gradients is fitted by one process")
    return gaussianize(run, dataset, device)


def _without_gradients(run: Run) -> bool:
    return family_class(run.file.flow.family).without_gradients
