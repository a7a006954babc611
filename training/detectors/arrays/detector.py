"""A detector of arrays: what makes a score of a row from its nearest rows, and a density."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import zoo
from training.detectors.arrays.space import PrincipalSpace, Seen
from training.detectors.arrays.specification import HALVES, ArrayDetectorSpec, ArrayPart, View
from training.detectors.parts.neighbourhoods import mean_log_nearest
from training.fit import NoiseLevels

Float64 = NDArray[np.float64]

LEVELS = NoiseLevels()

ROWS_AT_ONCE = 512

# A deviation of the logarithm of an energy counts as so many units of a coordinate.
ENERGY_WEIGHT = 6.0


class ArrayMember(nn.Module):
    """What a half of the training rows says of rows.

    Args:
        spec: of the detector.
    """

    def __init__(self, spec: ArrayDetectorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.space = PrincipalSpace(spec.dimensions, spec.directions, spec.bands)
        # the noise at which rows are encoded
        self.condition = float(LEVELS.condition(torch.tensor(math.log(spec.flow.deviation))))
        self.flow = zoo.build(
            "maf", (spec.directions,), context_shape=(1,), options=spec.flow.options
        )
        sizes = {"values": spec.directions + 2, "texture": spec.directions + len(self.space.sizes)}
        for i, part in enumerate(spec.parts):
            shape = part.samples, part.rows, sizes[part.view]
            self.register_buffer(f"rows_{i}", torch.zeros(shape, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The score of each part, N each, and the log-density in nats, N: of rows, N × D."""
        seen = self.space(x)
        scores = [
            self._distance(self.features(part.view, seen), rows, part)
            for part, rows in zip(self.spec.parts, self.rows, strict=True)
        ]
        return scores, torch.where(seen.far, -torch.inf, self._log_prob(seen))

    @property
    def rows(self) -> list[Tensor]:
        """Of each part, the features of its samples: samples × rows × features."""
        return [self.get_buffer(f"rows_{i}") for i in range(len(self.spec.parts))]

    def features(self, view: View, seen: Seen, of_samples: bool = False) -> Tensor:
        """What distances are measured in: N × features.

        What coordinates leave of two rows has hardly a direction in common: of values its squares
        are summed, by features which are zero of the other row.
        """
        if view == "texture":
            logs = ENERGY_WEIGHT * self.space.log_energies(seen.energies)
            return torch.cat([seen.coordinates, logs], 1)
        left = seen.energies.sum(1, keepdim=True).sqrt()
        nothing = torch.zeros_like(left)
        rest = [nothing, left] if of_samples else [left, nothing]
        return torch.cat([seen.coordinates, *rest], 1)

    def whitened(self, x: Tensor) -> Tensor:
        """The coordinates that the flow sees, of unit variance: N × D → N × K."""
        seen: Seen = self.space(x)
        return seen.coordinates / self.space.deviation

    def _distance(self, features: Tensor, samples: Tensor, part: ArrayPart) -> Tensor:
        distances = [mean_log_nearest(features, rows, part.neighbours) for rows in samples]
        return torch.stack(distances, 1).mean(1)

    def _log_prob(self, seen: Seen) -> Tensor:
        z = seen.coordinates / self.space.deviation
        log_prob: Tensor = self.flow.log_prob(z, torch.full_like(z[:, :1], self.condition))
        return log_prob + self.space.log_prob_of_rest(seen)


class ArrayDetector(nn.Module):
    """Arrays → scores, of which a larger one is more anomalous, and log-densities.

    Everything is computed in float64. Its state dict and its specification make it whole.

    Args:
        spec: what it is made of.
    """

    def __init__(self, spec: ArrayDetectorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.of_halves = nn.ModuleList(ArrayMember(spec) for _ in range(HALVES))
        self.double().eval().requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Score rows: N × event shape float64.

        Returns:
            score: N, infinite of a row with a value that is no number; log-density in nats: N, of
            the mixture of the members' densities.
        """
        inside = (~torch.isnan(x) & ~torch.isinf(x)).flatten(1).all(1)
        scores, log_probs = self.members(x)
        log_prob = torch.logsumexp(log_probs, 1) - math.log(log_probs.shape[1])
        return (
            torch.where(inside, scores.mean(1), torch.inf),
            torch.where(inside, log_prob, -torch.inf),
        )

    def members(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and log-densities of each member: N × members each."""
        x = x.flatten(1)
        x = torch.where(torch.isnan(x) | torch.isinf(x), 0.0, x)
        scores: list[Tensor] = []
        log_probs: list[Tensor] = []
        for member in self.halves:
            of_parts, log_prob = member(x)
            scores.append(self._combined(of_parts))
            log_probs.append(log_prob)
        return torch.stack(scores, 1), torch.stack(log_probs, 1)

    @property
    def halves(self) -> list[ArrayMember]:
        """The member of each half of the training rows."""
        return [member for member in self.of_halves if isinstance(member, ArrayMember)]

    def scores(self, rows: NDArray[Any]) -> Float64:
        """Score rows, `ROWS_AT_ONCE` at a time: N × event shape → N."""
        chunks = torch.split(torch.from_numpy(rows), ROWS_AT_ONCE)
        scores: Float64 = torch.cat([self(chunk.double())[0] for chunk in chunks]).numpy()
        return scores

    @property
    def event_shape(self) -> list[int]:
        """Shape of a row."""
        return self.spec.event_shape

    @property
    def context_columns(self) -> int:
        """None: arrays are conditioned on nothing."""
        return 0

    @property
    def weights(self) -> list[float]:
        """Of each part, in the score of a row."""
        return [part.weight for part in self.spec.parts]

    def _combined(self, scores: list[Tensor]) -> Tensor:
        weighted = [weight * each for weight, each in zip(self.weights, scores, strict=True)]
        return torch.stack(weighted).sum(0)
