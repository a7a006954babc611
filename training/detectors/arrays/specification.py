"""What a detector of arrays is made of: its parts and their options, as JSON beside its weights."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from training.config import Count, Section
from training.detectors.specification import Configuration

View = Literal["values", "texture"]
"""What distances are measured in: the values of rows, which are nearly those of their principal
coordinates and of what these leave; or the principal coordinates and the energies of the rest."""


HALVES = 2
"""Of the training rows: a detector has a member for each, and scores are their means."""


class ArrayPart(Section):
    """Mean log distance to the nearest of samples of the training rows.

    Args:
        view: what distances are measured in.
        samples: number of samples of a member.
        rows: of a sample, at most.
        neighbours: nearest rows of a sample, whose mean log distance counts.
        weight: of the part in the score of a row.
    """

    kind: Literal["nearest"] = "nearest"
    view: View
    samples: Count = 1
    rows: Count
    neighbours: Count = 1
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Its name, for people."""
        return f"{self.kind} by {self.view}"

    @property
    def detail(self) -> str:
        """What the part is, for people."""
        sizes = f"{self.samples} of {self.rows} rows of each half"
        return f"log distance to the {self.neighbours} nearest rows of samples, {sizes}"

    @property
    def indexed_rows(self) -> int:
        """How many training rows it compares others with, of both halves."""
        return HALVES * self.samples * self.rows


class PrincipalFlow(Section):
    """The flow over the principal coordinates of rows, trained with noise as a condition.

    Args:
        deviation: of the noise at which rows are encoded.
        options: of the family `maf`.
        steps, batch_size, learning_rate: of its training.
    """

    deviation: Annotated[float, Field(gt=0)] = 0.1
    options: dict[str, Any]
    steps: Count
    batch_size: Count = 256
    learning_rate: float = 2e-3


class ArrayDetectorSpec(Section):
    """A detector of arrays, complete but for its weights.

    Args:
        configuration: what it was fitted for.
        event_shape: of a row.
        directions: number of principal directions whose coordinates a member sees.
        bands: ends of the bands of further directions, ascending: of each, and of what is left,
            a member sees the energy. Empty where there are no further directions.
        parts: of the score, with the numbers of rows that they hold.
        flow: whose density is that of the principal coordinates.
    """

    configuration: Configuration
    event_shape: Annotated[list[Count], Field(min_length=1, max_length=8)]
    directions: Count
    bands: list[Count]
    parts: Annotated[list[ArrayPart], Field(min_length=1)]
    flow: PrincipalFlow

    @property
    def dimensions(self) -> int:
        """Number of values of a row."""
        return math.prod(self.event_shape)
