"""The report on a trained flow: its scores of held-out rows.

Figures are kept in the run folder (`training.runs.keep`), so that an export after a training, or
after another export, scores no row again: of 10,000 images that takes up to ten minutes.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.density import Density
from service.bundle import CALIBRATION_LEVELS, HeldOut, quantiles
from training.data import AnyDataset, Dataset, Split, TypedDataset
from training.errors import NonFiniteError
from training.files import write_atomically
from training.runs import Run, keep, kept
from training.scoring import log_prob, row_flops

# Names of what is kept: of all test rows, and of a sample.
EVALUATION, CALIBRATION = "evaluation", "calibration"
OF_SAMPLE = "{} of a sample"

# Floating-point operations that an export spends on the score of held-out rows where it was not
# measured before, about a minute of two cores, and rows that it takes at least.
MAX_SAMPLE_FLOPS, MIN_SAMPLE_ROWS = 2**42, 1000
# The same where rows are scored value by value: in small products, which take longer, and in passes
# that take long for any number of rows. One of a student of sounds takes 20 s of a core, and 0.2 s
# for each row.
MAX_STEPWISE_FLOPS, MIN_STEPWISE_ROWS = 2**39, 256


class IndependentColumns(BaseModel):
    """The score of the density that the columns have if they are independent of each other.

    Each column has its marginal, fitted to the training rows: the network's output is zero.

    Args:
        log_prob, se: mean nats per held-out row, and its standard error.
        gain, gain_se: of the trained density over it, row by row.
    """

    model_config = ConfigDict(frozen=True)

    log_prob: float
    se: float
    gain: float
    gain_se: float

    @property
    def is_beaten(self) -> bool:
        """Whether the trained density is better by more than two standard errors."""
        return self.gain > 2 * self.gain_se


class TypedHeldOut(HeldOut):
    """The held-out score of a density over typed columns.

    Args:
        independent: the same of independent columns.
    """

    independent: IndependentColumns


def evaluated(run: Run, dataset: Dataset | TypedDataset) -> HeldOut:
    """The figures that `evaluate` has kept of these weights and rows, or makes now.

    Where all rows would take long, they are made of a sample of them: `HeldOut.rows` says of how
    many.
    """
    model = TypedHeldOut if isinstance(dataset, TypedDataset) else HeldOut
    options = evaluation_options(run)
    if (figures := kept(run, EVALUATION, options)) is not None:
        return model.model_validate(figures)
    sample = None if isinstance(dataset, TypedDataset) else _sample(run, dataset)
    if sample is None:
        return evaluate(run, dataset)
    name, options = OF_SAMPLE.format(EVALUATION), options | {"rows": len(sample.test)}
    if (figures := kept(run, name, options)) is not None:
        return model.model_validate(figures)
    scores, copies = _finite_scores(run, sample)
    evaluation = summary(scores, sample, copies)
    keep(run, name, options, evaluation.model_dump(mode="json"))
    return evaluation


def _sample(run: Run, dataset: Dataset) -> Dataset | None:
    """The data with some of its test rows, drawn at random; None where all take about a minute."""
    fit = run.file.recipe.fit
    copies = fit.noise_copies if dataset.is_noisy else 1
    flow = run.best_flow()
    flops, stepwise = (row_flops(flow) or 0) * copies, flow.encode_cost == "sequential"
    drawn = drawn_rows(dataset.test, flops, fit.seed + 2, stepwise)
    return None if drawn is None else replace(dataset, test=drawn)


def drawn_rows(
    split: Split[np.float32], flops: int, seed: int, stepwise: bool = False
) -> Split[np.float32] | None:
    """Some rows of a split, drawn at random; None where scores of all take about a minute.

    Args:
        split: of a data set.
        flops: floating-point operations of the score of a row.
        seed: of the draw.
        stepwise: whether rows are scored value by value.
    """
    most, least = MAX_SAMPLE_FLOPS, MIN_SAMPLE_ROWS
    if stepwise:
        most, least = MAX_STEPWISE_FLOPS, MIN_STEPWISE_ROWS
    rows = max(least, most // max(1, flops))
    if rows >= len(split):
        return None
    drawn = np.sort(np.random.default_rng(seed).choice(len(split), rows, replace=False))
    context = None if split.context is None else split.context[drawn]
    indices = None if split.indices is None else split.indices[drawn]
    return Split(split.rows[drawn], context, indices)


def evaluate(run: Run, dataset: Dataset | TypedDataset, scores_file: Path | None = None) -> HeldOut:
    """Score the run's best weights on the test rows and write the figures to the run folder.

    Args:
        run: the run.
        dataset: its data.
        scores_file: a Parquet file to write the score of each test row to, in their order: `row`,
            its number in the source from 0, `log_prob` in nats and, if they are defined,
            `bits_per_dim` and `independent`, the score in nats if columns were independent.

    Returns:
        A `TypedHeldOut` of a density over typed columns.

    Raises:
        NonFiniteError: a test row has no finite log-density.
    """
    scores, copies = _finite_scores(run, dataset)
    evaluation, independent = summary(scores, dataset, copies), None
    if isinstance(dataset, TypedDataset):
        independent, _ = _test_scores(run.new_density(), run, dataset)
        compared = independent_columns(scores, independent)
        evaluation = TypedHeldOut(**evaluation.model_dump(), independent=compared)
    content = evaluation.model_dump_json(indent=2)
    write_atomically(run.folder / "evaluation.json", content.encode())
    keep(run, EVALUATION, evaluation_options(run), evaluation.model_dump(mode="json"))
    if isinstance(dataset, Dataset) and not dataset.is_noisy:
        keep(run, CALIBRATION, {}, quantiles_of(scores))
    if scores_file is not None:
        columns: dict[str, NDArray[np.generic]] = {"log_prob": scores}
        if dataset.test.indices is not None:
            columns = {"row": dataset.test.indices, **columns}
        if evaluation.bits_per_dim is not None:
            columns["bits_per_dim"] = -scores / _nats_per_bit(dataset)
        if independent is not None:
            columns["independent"] = independent
        pyarrow.parquet.write_table(pa.table(columns), scores_file)
    return evaluation


def held_out_calibration(run: Run, dataset: Dataset, of_sample: bool = False) -> dict[str, Any]:
    """The quantiles of log_prob of the test rows as clients send them, kept or made now.

    Args:
        run: the run.
        dataset: its data.
        of_sample: whether a sample of rows will do where all take long, the same as of `evaluated`;
            `rows` says of how many the quantiles are.
    """
    found: dict[str, Any] | None = kept(run, CALIBRATION, {})
    if found is not None:
        return found
    sample = _sample(run, dataset) if of_sample else None
    name, options, test = CALIBRATION, {}, dataset.test
    if sample is not None:
        test = sample.test
        name, options = OF_SAMPLE.format(CALIBRATION), {"rows": len(test)}
        found = kept(run, name, options)
    if found is None:
        found = quantiles_of(log_prob(run.best_flow(), test.rows[None], test.context))
        keep(run, name, options, found)
    return found


def quantiles_of(scores: NDArray[np.float64]) -> dict[str, Any]:
    """The quantiles of log_prob of held-out rows, from which a server computes p-values."""
    return {"rows": len(scores), "levels": CALIBRATION_LEVELS, "log_prob": quantiles(scores)}


def evaluation_options(run: Run) -> dict[str, int]:
    """What an evaluation depends on beside the weights and the data."""
    fit = run.file.recipe.fit
    return {"noise_copies": fit.noise_copies, "seed": fit.seed}


def check_finite(
    scores: NDArray[np.float64], dataset: AnyDataset, rows: Split[Any], model: str
) -> None:
    """Refuse a model under which some rows have no finite log-density.

    Args:
        scores: N, of the rows in nats.
        dataset: whose rows they are.
        rows: a split of it, or some rows of one.
        model: what is refused, for people.

    Raises:
        NonFiniteError: there are such rows; the first ten are named.
    """
    wrong = np.flatnonzero(~np.isfinite(scores))
    if not len(wrong):
        return
    places = ", ".join(dataset.place_of(rows, int(row)) for row in wrong[:10])
    raise NonFiniteError(
        f"{model}: {len(wrong)} of {len(scores)} held-out rows have no finite log-density: "
        f"{places}{', …' * (len(wrong) > 10)}; they lie outside its support, such as the box of a "
        "uniform base"
    )


def _finite_scores(run: Run, dataset: AnyDataset) -> tuple[NDArray[np.float64], int]:
    """The scores of the test rows by the best weights, and the number of noisy copies of each.

    Raises:
        NonFiniteError: a test row has no finite log-density.
    """
    scores, copies = _test_scores(run.best_density(), run, dataset)
    check_finite(scores, dataset, dataset.test, str(run.folder))
    return scores, copies


def _test_scores(
    density: Density, run: Run, dataset: AnyDataset
) -> tuple[NDArray[np.float64], int]:
    """The scores of the test rows in nats, and the number of noisy copies of each."""
    fit = run.file.recipe.fit
    # not the seed of the validation noise, which decided when training stopped
    noisy = dataset.noisy(dataset.test.rows, fit.noise_copies, fit.seed + 1)
    return log_prob(density, noisy, dataset.test.context), len(noisy)


def independent_columns(
    scores: NDArray[np.float64], independent: NDArray[np.float64]
) -> IndependentColumns:
    """Compare the scores of rows with those under independent columns: N each, in nats."""
    gain = scores - independent
    mean, se = mean_and_error(independent)
    gain_mean, gain_se = mean_and_error(gain)
    return IndependentColumns(log_prob=mean, se=se, gain=gain_mean, gain_se=gain_se)


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean, and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _nats_per_bit(dataset: AnyDataset) -> float:
    """One bit per dimension, in nats of a whole row."""
    return math.log(2) * math.prod(dataset.event_shape)


def summary(scores: NDArray[np.float64], dataset: AnyDataset, noise_copies: int) -> HeldOut:
    """Mean and standard error of the scores of rows, in nats and in bits per dimension.

    Args:
        scores: N, in nats.
        dataset: whose rows they are.
        noise_copies: noisy copies of each row that its score is averaged over.
    """
    mean, se = mean_and_error(scores)
    bits = _nats_per_bit(dataset)
    # bits per dimension are of integers, and with extra noise the values are none
    defined = isinstance(dataset, Dataset) and bool(dataset.integer.all()) and not dataset.noise
    return HeldOut(
        log_prob=mean,
        se=se,
        rows=len(scores),
        noise_copies=noise_copies,
        bits_per_dim=-mean / bits if defined else None,
        bits_per_dim_se=se / bits if defined else None,
    )
