"""How far training has got, and what can be saved and restored with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from pydantic import Field, TypeAdapter
from torch import Tensor

NotNegative = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass
class Progress:
    """How far training has got; scores in nats per row.

    Args:
        epoch: completed epochs.
        step: completed steps of the current epoch.
        loss: sum of the losses of the current epoch's rows so far, in nats.
        best_epoch, best_score: the epoch after which the validation rows scored best, and the
            score.
        seconds: of training so far.
        finished: whether training has ended.
        device: what it trains on, for people.
        scaler: state of the gradient scaler; empty if there is none.
    """

    epoch: NotNegative = 0
    step: NotNegative = 0
    loss: float = 0.0
    best_epoch: NotNegative = 0
    best_score: float = float("-inf")
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    finished: bool = False
    device: str = ""
    scaler: dict[str, int | float] = field(default_factory=dict)


PROGRESS = TypeAdapter(Progress)


class Stateful(Protocol):
    """An object with tensors to save and to restore, such as a flow."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """The tensors by name."""

    def load_state_dict(self, tensors: Mapping[str, Tensor], /) -> object:
        """Restore the tensors."""
