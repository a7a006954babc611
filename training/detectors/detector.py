"""A detector: what makes a score of a row from the parts, and what a column was expected to be."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.columns import CategoricalColumn, describe
from models.context import ContextFeatures
from training.detectors.features import Features, Marginals
from training.detectors.parts.gaussianized import Gaussianized
from training.detectors.parts.latents import LatentRows
from training.detectors.parts.nearest import NearestRows
from training.detectors.parts.neighbourhoods import squared_distances
from training.detectors.parts.typed import TypedDensities
from training.detectors.specification import AnyPart, DetectorSpec
from training.detectors.tails import Tails

Float64 = NDArray[np.float64]

MODULES: Mapping[str, Callable[..., nn.Module]] = {
    "nearest": NearestRows,
    "latents": LatentRows,
    "gaussianized": Gaussianized,
    "typed": TypedDensities,
}
"""The module of each kind of part: its options, the numbers of features and of context features."""

# Reasons are found with so many values that the nearest rows have.
NEIGHBOURS = 4

ROWS_AT_ONCE = 1024


class Detector(nn.Module):
    """Typed rows → scores, of which a larger one is more anomalous, and log-densities.

    Everything is computed in float64. Its state dict and its specification make it whole.

    Args:
        spec: what it is made of.
    """

    references: Tensor
    can_miss: Tensor
    last_code: Tensor

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.columns = describe(spec.fitted)
        context = spec.context
        self.context = None if context is None else ContextFeatures(**context.model_dump())
        known = 0 if self.context is None else self.context.size
        self.spaces = nn.ModuleDict(
            {space: Features(self.columns, space) for space in measured_spaces(spec.parts)}
        )
        sizes: dict[str, int] = {"values": len(self.columns)}
        for name, space in self.spaces.items():
            assert isinstance(space, Features)
            sizes[name] = space.size
        self.parts = nn.ModuleList(
            MODULES[part.kind](part, sizes[part.space], known) for part in spec.parts
        )
        columns = len(self.columns) + (0 if context is None else len(context.columns))
        missing = [column.missing_share is not None for column in self.columns]
        codes = [
            len(column.shares) - 1.0 if isinstance(column, CategoricalColumn) else math.nan
            for column in self.columns
        ]
        self.typed_part = [part.kind for part in spec.parts].index("typed")
        self.register_buffer("can_miss", torch.tensor(missing), persistent=False)
        self.register_buffer("last_code", torch.tensor(codes).double(), persistent=False)
        self.weights = [
            part.weight * (columns if part.per_column and spec.combination == "sum" else 1.0)
            for part in spec.parts
        ]
        self.tails = Tails(self.weights) if spec.combination == "tails" else None
        shape = spec.references, columns
        self.register_buffer("references", torch.zeros(shape, dtype=torch.float64))
        self.double().eval().requires_grad_(False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score rows.

        Args:
            x: N × D float64; codes of classes, NaN where missing.
            context: N × C, exactly when the detector has a context.

        Returns:
            score: N, larger is more anomalous, infinite of a row outside the support; log-density
            in nats: N, of the mixture of the typed densities.
        """
        inside = self._inside(x)
        x = torch.where(inside[:, None], x, self._any_row)
        scores = self.members(x, context)
        score = self.combine([values.mean(1) for values in scores])
        log_prob = -scores[self.typed_part]
        log_prob = torch.logsumexp(log_prob, 1) - math.log(log_prob.shape[1])
        return (
            torch.where(inside, score, torch.inf),
            torch.where(inside, log_prob, -torch.inf),
        )

    def members(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Of each part, the scores of its members: N × members each."""
        known = self._context_features(context)
        seen = {name: space(x) for name, space in self.spaces.items()}
        seen["values"] = x
        return [
            part(seen[options.space], known)
            for part, options in zip(self.parts, self.spec.parts, strict=True)
        ]

    def scores(self, rows: Float64, context: NDArray[Any] | None = None) -> Float64:
        """Score rows, `ROWS_AT_ONCE` at a time: N × D → N."""
        values = [rows] if context is None else [rows, context.astype(np.float64)]
        chunks = zip(*(torch.split(torch.from_numpy(v), ROWS_AT_ONCE) for v in values), strict=True)
        scores: Float64 = torch.cat([self(*chunk)[0] for chunk in chunks]).numpy()
        return scores

    def combine(self, scores: Sequence[Tensor]) -> Tensor:
        """The score of rows from those of the parts, N each."""
        if self.tails is not None:
            combined: Tensor = self.tails(torch.stack(list(scores), 1))
            return combined
        weighted = [weight * values for weight, values in zip(self.weights, scores, strict=True)]
        return torch.stack(weighted).sum(0)

    def neighbours(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Values that each column has in the training rows that are nearest by all the others.

        Args:
            x: N × D float64.
            context: N × C, exactly when the detector has a context.

        Returns:
            N × D × K, the nearest row's value first; NaN where missing.
        """
        distances = self.distances_by_others(x, context)
        rows = self.references[:, : len(self.columns)]
        nearest = torch.topk(distances, self.neighbour_count, dim=2, largest=False).indices
        # the values of all columns, one column after another
        place = nearest + len(rows) * torch.arange(len(self.columns), device=x.device)[:, None]
        return rows.T.flatten().index_select(0, place.flatten()).view_as(nearest)

    @property
    def event_shape(self) -> list[int]:
        """Shape of a row."""
        return [len(self.columns)]

    @property
    def context_columns(self) -> int:
        """Number of columns that rows are conditioned on."""
        return self.references.shape[1] - len(self.columns)

    @property
    def neighbour_count(self) -> int:
        """K, the number of values that `neighbours` has of each column."""
        return min(NEIGHBOURS, len(self.references))

    def distances_by_others(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Squared distances to the training rows by all columns but one, and by the context.

        Args:
            x: N × D float64.
            context: N × C, exactly when the detector has a context.

        Returns:
            N × D × references.
        """
        d = len(self.columns)
        x = torch.where(self._inside(x)[:, None], x, self._any_row)
        rows, rows_context = self.references[:, :d], self.references[:, d:]
        features, row_features = self._standard(x), self._standard(rows)
        squares = torch.stack(
            [
                squared_distances(features[:, columns], row_features[:, columns])
                for columns in self._standard.features_of
            ],
            1,
        )
        whole = squares.sum(1, keepdim=True)
        known = self._context_features(context)
        if known is not None:
            row_known = self._context_features(rows_context)
            assert row_known is not None
            whole = whole + squared_distances(known, row_known)[:, None]
        return whole - squares

    def _inside(self, x: Tensor) -> Tensor:
        """Whether rows can be rows of these columns: missing values and codes of classes."""
        possible = ~torch.isnan(x) | self.can_miss
        code = torch.isnan(self.last_code) | torch.isnan(x)
        code = code | ((x >= 0) & (x <= self.last_code) & (x == torch.floor(x)))
        return (possible & code & ~torch.isinf(x)).all(1)

    def _context_features(self, context: Tensor | None) -> Tensor | None:
        if self.context is None:
            return None
        features: Tensor = self.context(None if context is None else context.double())
        return features

    @property
    def _standard(self) -> Features:
        space = self.spaces["standard"]
        assert isinstance(space, Features)
        return space

    @property
    def _any_row(self) -> Tensor:
        """A row that is inside, for those that are not: 1 × D."""
        return self.references[:1, : len(self.columns)]


def measured_spaces(parts: Sequence[AnyPart]) -> list[Marginals]:
    """The features that parts see; the standard ones, in which neighbours are near, always."""
    spaces: list[Marginals] = ["standard", "robust", "normal"]
    used = {"standard", *(part.space for part in parts)}
    return [space for space in spaces if space in used]
