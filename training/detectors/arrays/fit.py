"""Fitting a detector to arrays of one shape."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import FitRecipe
from training.detectors.arrays.configurations import ARRAY_PARTS, FLOW
from training.detectors.arrays.detector import LEVELS, ROWS_AT_ONCE, ArrayDetector, ArrayMember
from training.detectors.arrays.space import Axes, principal_axes
from training.detectors.arrays.specification import HALVES, ArrayDetectorSpec
from training.detectors.fit import MIN_ROWS, FittedDetector
from training.detectors.parts.members import groups_of, halves, log_mean_of_unseen, mean_of_unseen
from training.detectors.specification import Configuration
from training.errors import DataError
from training.fit import fit_noise_conditional

# Coordinates, and ends of the bands of further directions.
DIRECTIONS, BANDS = 100, (200, 400)

# Principal directions are of so many rows of a half at most, and of each direction so many rows.
MAX_AXES_ROWS = 10_000
ROWS_PER_DIRECTION = 4

# Numbers of a row: of so many pixels the rows that axes are of take 4 GB.
MAX_VALUES = 2**16
MAX_AXES_NUMBERS = 2**28

WARM_UP = 50


def fit_array_detector(
    rows: NDArray[Any],
    configuration: Configuration = "clean",
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> FittedDetector[ArrayDetector]:
    """Fit a detector.

    Args:
        rows: N × event shape, finite.
        configuration: `clean` where the rows are normal, `contaminated` where some may be
            anomalies.
        seed: of all that is random.
        progress: told what is being fitted.

    Raises:
        DataError: fewer than `MIN_ROWS` rows, rows that are all alike, or larger than can be.
    """
    n, values = len(rows), int(np.prod(rows.shape[1:]))
    if n < MIN_ROWS:
        raise DataError(f"a detector needs at least {MIN_ROWS} rows, got {n}")
    if values > MAX_VALUES:
        raise DataError(
            f"rows have {values} values, and a detector takes {MAX_VALUES} at most: crop or scale "
            "them first"
        )
    x = torch.from_numpy(rows).flatten(1)
    generator = torch.Generator().manual_seed(seed)
    groups = groups_of(rows.reshape(n, values), are_discrete=False)
    seen = halves(groups, HALVES, generator)
    fewest = min(map(len, seen))
    of_axes = min(MAX_AXES_ROWS, MAX_AXES_NUMBERS // values)
    progress("principal directions")
    axes = [_axes(x[half[:of_axes]].double()) for half in seen]
    detector = ArrayDetector(_specification(configuration, rows.shape[1:], axes, fewest))
    for member, of_member, half in zip(detector.halves, axes, seen, strict=True):
        member.space.fit(x[half[:of_axes]].double(), of_member)
        _draw_samples(member, x, half, generator)
        progress("flow")
        _fit_flow(member, x, half, int(torch.randint(2**31, (1,), generator=generator)))
    detector.double().eval().requires_grad_(False)
    progress("scores of each half by the other")
    chunks = [detector.members(chunk.double()) for chunk in torch.split(x, ROWS_AT_ONCE)]
    scores, log_probs = (torch.cat(values) for values in zip(*chunks, strict=True))
    return FittedDetector(
        detector,
        mean_of_unseen(scores, seen).numpy(),
        log_mean_of_unseen(log_probs, seen).numpy(),
    )


def _axes(rows: Tensor) -> Axes:
    most = max(1, min(BANDS[-1], len(rows) - 1))
    if torch.equal(rows, rows[:1].expand_as(rows)):
        raise DataError("the rows are all alike: a detector compares rows with what differs")
    return principal_axes(rows, most)


def _specification(
    configuration: Configuration, shape: Sequence[int], axes: Sequence[Axes], half: int
) -> ArrayDetectorSpec:
    there = min(len(each.deviation) for each in axes)
    directions = max(1, min(DIRECTIONS, there, half // ROWS_PER_DIRECTION))
    ends = [end for end in BANDS if directions < end <= there]
    parts = [
        part.model_copy(update={"rows": min(part.rows, half)})
        for part in ARRAY_PARTS[configuration]
    ]
    return ArrayDetectorSpec(
        configuration=configuration,
        event_shape=list(shape),
        directions=directions,
        bands=ends,
        parts=parts,
        flow=FLOW,
    )


def _draw_samples(member: ArrayMember, x: Tensor, half: Tensor, generator: torch.Generator) -> None:
    """Draw the samples of training rows that each part compares others with."""
    for part, samples in zip(member.spec.parts, member.rows, strict=True):
        for sample in samples:
            chosen = half[torch.randperm(len(half), generator=generator)[: part.rows]]
            seen = member.space(x[chosen].double())
            sample.copy_(member.features(part.view, seen, of_samples=True))


def _fit_flow(member: ArrayMember, x: Tensor, half: Tensor, seed: int) -> None:
    """Train the flow of a member on the whitened coordinates of its half."""
    chunks = [member.whitened(x[rows].double()).float() for rows in torch.split(half, ROWS_AT_ONCE)]
    flow = member.spec.flow
    recipe = FitRecipe(
        batch_size=flow.batch_size,
        learning_rate=flow.learning_rate,
        warm_up=WARM_UP,
        schedule="cosine",
        seed=seed,
    )
    with torch.enable_grad():
        member.flow.float().requires_grad_(True)
        fit_noise_conditional(member.flow, torch.cat(chunks), None, LEVELS, recipe, flow.steps)
