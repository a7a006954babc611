"""Which inverses of autoregressive layers an export may choose from."""

from dataclasses import dataclass
from typing import Literal

from models.layers import Inverse
from service.bundle import METHODS
from training.errors import ExportError

RESIDUAL = 1e-5
"""The change up to which rows are swept over, relative to max(1, |x|), where no tolerance is asked
for. Sweeps converge faster than any power, so that what is left is far below the last change."""


@dataclass(frozen=True)
class InverseRequest:
    """Which inverses of autoregressive layers an export may choose from.

    Args:
        method: a method of `models.layers.Inverse`; `auto` for the faster one.
        tolerance: of `jacobi`.

    Raises:
        ValueError: a tolerance below zero, or without `jacobi`.
    """

    method: Literal["auto", "sequential", "jacobi"] = "auto"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        # checks the tolerance, which only jacobi has
        Inverse("jacobi" if self.method == "jacobi" else "sequential", 1, self.tolerance)

    @property
    def residual(self) -> float:
        """The tolerance of sweeps that need not be exact."""
        return self.tolerance if self.method == "jacobi" else RESIDUAL


FASTEST = InverseRequest()


def inverse_request(method: str, tolerance: float) -> InverseRequest:
    """Which inverses a user asks for: `auto`, or a method by its name or its former one.

    Raises:
        ExportError: a tolerance that does not go with the method.
    """
    try:
        return InverseRequest(METHODS.get(method, method), tolerance)  # type: ignore[arg-type]
    except ValueError as error:
        raise ExportError(str(error)) from None
