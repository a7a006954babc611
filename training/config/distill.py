"""The [distill] section of a recipe: what a student learns from its teacher."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from training.config.section import Section

LossKind = Literal[
    "kl",
    "conditional-kl",
    "log-deviations",
    "teacher_path",
    "student_path",
    "pairs",
    "latents",
    "spectra",
]

FORMER_KINDS = {"layers": "teacher_path", "own-layers": "student_path"}


def _current_kind(kind: Any) -> Any:
    return FORMER_KINDS.get(kind, kind) if isinstance(kind, str) else kind


class LossRecipe(Section):
    """One of the losses of a distillation, which are added up.

    Args:
        kind: a key of `losses.LOSSES`.
        weight: factor of this loss.
        start, end: the fractions of the training between which this loss counts.
    """

    kind: Annotated[LossKind, BeforeValidator(_current_kind)]
    weight: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Annotated[float, Field(gt=0, le=1)] = 1.0


class DistillRecipe(Section):
    """What a student learns from its teacher.

    Args:
        rows: number of draws in an epoch: of the teacher, the same in every epoch, where a loss
            needs them; otherwise fresh draws of the student.
        validation_rows: number of draws that the weights are chosen by, the same in every epoch.
        chosen_by: the score of those draws: `kl`, the divergence from the teacher, or `loss`, the
            losses that count at the end, which can decrease while the divergence increases.
        temperature: factor of the latents in training, of a normal base. Above 1 the student
            learns more of the tails, where teachers of steep conditionals find one draw in
            thousands further off than all others together. It is for losses that are least
            where student and teacher agree, wherever the latents lie; not for expectations over
            the base, `kl` and `conditional-kl`.
        losses: the losses, which are added up; at least one counts at any time. Those that the two
            flows allow if left out (`distill.choice`).
    """

    former_names = {"terms": "losses"}  # noqa: RUF012 (a class variable of Section)

    rows: Annotated[int, Field(ge=2, le=10**8)] = 50_000
    validation_rows: Annotated[int, Field(ge=2, le=10**8)] = 5_000
    chosen_by: Literal["kl", "loss"] = "kl"
    temperature: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    losses: Annotated[list[LossRecipe], Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _takes_expectations_at_temperature_one(self) -> "DistillRecipe":
        expectations = sorted({loss.kind for loss in self.losses or ()} & {"kl", "conditional-kl"})
        if self.temperature != 1 and expectations:
            raise ValueError(
                f"{', '.join(expectations)} is an expectation over the base itself: leave "
                "temperature out"
            )
        return self

    @model_validator(mode="after")
    def _has_a_loss_at_any_time(self) -> "DistillRecipe":
        if self.losses is None:
            return self
        covered = 0.0
        for loss in sorted(self.losses, key=lambda loss: loss.start):
            if loss.start > covered or loss.start >= loss.end:
                raise ValueError(f"no loss counts from {covered:g} of the training on")
            covered = max(covered, loss.end)
        if covered < 1:
            raise ValueError(f"no loss counts from {covered:g} of the training on")
        return self
