"""The [distill] section of a recipe: what a student learns from its teacher."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training.config.section import Section


class TermRecipe(Section):
    """A term of a distillation's loss.

    Args:
        kind: a key of `terms.TERMS`.
        weight: what it is multiplied by.
        start, end: from and until what share of the training it counts.
    """

    kind: Literal[
        "kl",
        "conditional-kl",
        "log-deviations",
        "layers",
        "own-layers",
        "pairs",
        "latents",
        "spectra",
    ]
    weight: Annotated[float, Field(gt=0)] = 1.0
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Annotated[float, Field(gt=0, le=1)] = 1.0


class DistillRecipe(Section):
    """What a student learns from its teacher.

    Args:
        rows: draws that an epoch is made of: of the teacher, the same in each, where a term needs
            them, else fresh ones of the student.
        validation_rows: draws that the weights are chosen by, always the same.
        chosen_by: what those draws are scored by: `kl`, the divergence from the teacher, or
            `loss`, the terms that count at the end, of which one may well raise the divergence.
        temperature: what the latents that the student learns by are multiplied by, of a normal
            base. Above 1 it learns more of the tails, where teachers of steep conditionals find
            one draw in thousands further off than all others together. Of terms that are least
            where student and teacher agree wherever the latents lie: not of expectations, `kl`
            and `conditional-kl`.
        terms: of the loss, which adds them up; at any time at least one counts.
    """

    rows: Annotated[int, Field(ge=2)] = 50_000
    validation_rows: Annotated[int, Field(ge=2)] = 5_000
    chosen_by: Literal["kl", "loss"] = "kl"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    terms: Annotated[list[TermRecipe], Field(min_length=1)] = Field(
        default_factory=lambda: [TermRecipe(kind="kl")]
    )

    @model_validator(mode="after")
    def _expects_of_draws_as_they_are(self) -> "DistillRecipe":
        expected = sorted({term.kind for term in self.terms} & {"kl", "conditional-kl"})
        if self.temperature != 1 and expected:
            raise ValueError(f"temperature is not for {', '.join(expected)}, of draws as they are")
        return self

    @model_validator(mode="after")
    def _always_learns_something(self) -> "DistillRecipe":
        done = 0.0
        for term in sorted(self.terms, key=lambda term: term.start):
            if term.start > done or term.start >= term.end:
                raise ValueError(f"no term counts from {done:g} of the training on")
            done = max(done, term.end)
        if done < 1:
            raise ValueError(f"no term counts from {done:g} of the training on")
        return self
