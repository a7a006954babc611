"""What a manifest says of how the sequential direction of a graph is computed."""

from typing import Annotated, Literal

from pydantic import Field

from service.bundle.manifests.part import ManifestPart, Milliseconds

METHOD_WORDS: dict[str, Literal["ordered", "jacobi"]] = {
    "sequential": "ordered",
    "jacobi": "jacobi",
}
"""The name of a method → its word in manifests of format 1."""
METHODS: dict[str, str] = {word: method for method, word in METHOD_WORDS.items()}


class InverseMethod(ManifestPart):
    """A way of finding coordinates one after another, and what it was measured to cost.

    Args:
        method: of `METHODS`: `ordered`, each hidden unit computed once; or `jacobi`, sweeps over a
            block of coordinates until they stand still.
        width: coordinates of a block.
        milliseconds: for so many rows at once, on the CPU of the export.
    """

    method: Literal["ordered", "jacobi"]
    width: int
    milliseconds: dict[str, float]


class InverseReport(InverseMethod):
    """How a graph's sequential direction is computed.

    Args:
        tolerance: a row is swept over until no coordinate changes by more, relative to max(1, its
            size); 0 where until nothing changes at all.
        residual: largest difference of what was given from what the other direction, in float64,
            makes of the answer, as a part of its range.
        others: methods that were measured too and are slower.
    """

    tolerance: float
    residual: float
    others: list[InverseMethod]


class Guess(ManifestPart):
    """A student whose one pass gives the first guesses that sweeps start from.

    Args:
        student: name of its run.
        sha256: checksum of its weights.
        unguided: milliseconds, for so many rows at once, of the fastest graph without it.
    """

    student: str
    sha256: str
    unguided: dict[str, Milliseconds]


class Sweeps(ManifestPart):
    """How many sweeps rows need in which a graph computes its sequential direction.

    Args:
        rows: that were counted: those that the graph was verified on.
        median, max: of the rows; the number of a row is the mean over all of its coordinates in all
            layers, since blocks and layers need different numbers.
        guess: None where sweeps start from zeros.
    """

    rows: Annotated[int, Field(gt=0)]
    median: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    guess: Guess | None = None
