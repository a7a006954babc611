"""Fitting a detector to the rows of a typed table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.columns import describe
from models.context import ContextFeatures
from service.tables import Column, NumericColumn
from training.config import ContextSpec
from training.detectors.configurations import COMBINATIONS, CONFIGURATIONS
from training.detectors.detector import ROWS_AT_ONCE, Detector, Float64, measured_spaces
from training.detectors.features import Features
from training.detectors.parts.gaussianized import fit_gaussianized
from training.detectors.parts.latents import fit_latents
from training.detectors.parts.members import (
    Fitted,
    groups_of,
    log_mean_of_unseen,
    mean_of_unseen,
    with_context,
)
from training.detectors.parts.nearest import fit_nearest
from training.detectors.parts.typed import fit_typed
from training.detectors.specification import (
    Configuration,
    DetectorSpec,
    GaussianizedPart,
    LatentPart,
    NearestPart,
    TypedPart,
)
from training.errors import DataError
from training.preprocessing import fit_to_columns

# Rows that reasons are found among, at most.
MAX_REFERENCES = 2048

MIN_ROWS = 10


class ContextRows(NamedTuple):
    """What rows are conditioned on.

    Args:
        values: N × C, as clients send them.
        spec: the columns, whose classes are one-hot.
    """

    values: NDArray[Any]
    spec: ContextSpec


AnyDetector = TypeVar("AnyDetector", bound=nn.Module, covariant=True)


@dataclass(frozen=True)
class FittedDetector(Generic[AnyDetector]):
    """A detector, of tables or of arrays, and what calibrates it.

    Args:
        detector: it.
        out_of_sample: N float64; the score of each training row by members that did not see it.
        log_prob: N float64; its log-density by such members, in nats.
    """

    detector: AnyDetector
    out_of_sample: Float64
    log_prob: Float64


def fit_detector(
    rows: Float64,
    columns: Sequence[Column],
    context: ContextRows | None = None,
    configuration: Configuration = "clean",
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> FittedDetector[Detector]:
    """Fit a detector.

    Args:
        rows: N × D; codes of classes, NaN where missing.
        columns: what the D columns are.
        context: what the rows are conditioned on, or None.
        configuration: `clean` where the rows are normal, `contaminated` where some may be
            anomalies.
        seed: of all that is random.
        progress: told what is being fitted.

    Raises:
        DataError: fewer than `MIN_ROWS` rows.
    """
    if len(rows) < MIN_ROWS:
        raise DataError(f"a detector needs at least {MIN_ROWS} rows, got {len(rows)}")
    fitted = fit_to_columns(rows, columns)
    x = torch.from_numpy(rows)
    values = None if context is None else torch.from_numpy(context.values).double()
    known = None
    if context is not None:
        known = ContextFeatures(**context.spec.model_dump()).double()(values)
    generator = torch.Generator().manual_seed(seed)
    are_discrete = not any(isinstance(column, NumericColumn) for column in columns)
    groups = groups_of(with_context(x, values).numpy(), are_discrete)
    wanted = CONFIGURATIONS[configuration]
    spaces: dict[str, nn.Module] = {}
    seen: dict[str, Tensor] = {}
    for name in measured_spaces(wanted):
        space = Features(describe(fitted), name)
        space.fit(x)
        spaces[name], seen[name] = space, space(x)
    parts: list[Fitted[Any]] = []
    for part in wanted:
        progress(part.name)
        if isinstance(part, TypedPart):
            parts.append(fit_typed(part, rows, columns, known, groups, generator))
        else:
            parts.append(_fit_part(part, seen[part.space], known, groups, generator))
    references = torch.randperm(len(x), generator=generator)[:MAX_REFERENCES]
    spec = DetectorSpec(
        configuration=configuration,
        fitted=fitted,
        context=None if context is None else context.spec,
        parts=[each.part for each in parts],
        combination=COMBINATIONS[configuration],
        references=len(references),
    )
    detector = Detector(spec)
    detector.spaces = nn.ModuleDict(spaces)
    detector.parts = nn.ModuleList(each.module for each in parts).double()
    detector.references.copy_(with_context(x, values)[references])
    return FittedDetector(detector, *_out_of_sample(detector, parts, x, values))


def _fit_part(
    part: NearestPart | LatentPart | GaussianizedPart,
    features: Tensor,
    context: Tensor | None,
    groups: Tensor,
    generator: torch.Generator,
) -> Fitted[Any]:
    if isinstance(part, NearestPart):
        return fit_nearest(part, features, context, groups, generator)
    if isinstance(part, LatentPart):
        return fit_latents(part, features, context, groups, generator)
    return fit_gaussianized(part, features, context, groups, generator)


def _out_of_sample(
    detector: Detector, parts: Sequence[Fitted[Any]], x: Tensor, context: Tensor | None
) -> tuple[Float64, Float64]:
    """Score and log-density of each training row by the members that did not see it: N each."""
    inputs = [x] if context is None else [x, context]
    chunks = zip(*(torch.split(values, ROWS_AT_ONCE) for values in inputs), strict=True)
    chunks_of_parts = zip(*(detector.members(*chunk) for chunk in chunks), strict=True)
    scores = [torch.cat(of_chunks) for of_chunks in chunks_of_parts]
    of_parts = [
        mean_of_unseen(of_members, part.seen)
        for of_members, part in zip(scores, parts, strict=True)
    ]
    if detector.tails is not None:
        detector.tails.fit(torch.stack(of_parts, 1))
    typed = detector.typed_part
    log_prob = log_mean_of_unseen(-scores[typed], parts[typed].seen)
    return detector.combine(of_parts).numpy(), log_prob.numpy()
