"""Sections of recipes that say how a flow is trained."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A table of a TOML file, all of whose keys are known."""

    model_config = ConfigDict(extra="forbid")


class FitRecipe(Section):
    """How steps are made, of maximum likelihood or a distillation.

    Args:
        epochs: at most this many passes over the training rows.
        patience: stop after so many epochs without a better validation score.
        batch_size: rows a step.
        accumulate: parts that a batch is computed in, one after the other, to need less memory.
        learning_rate: of AdamW; with `schedule = "cosine"` it falls to zero over `epochs`.
        warm_up: steps in which the learning rate rises to its height.
        schedule: `constant` or `cosine`.
        average: what part of an exponential moving average of the weights each step keeps; the
            average is what is scored and saved. 0 for the weights themselves.
        weight_decay: of AdamW.
        clip_norm: largest norm of the gradient.
        precision: number type of the conditioner networks in training; `bfloat16` and `float16`
            are faster on GPUs. Maps, log-densities, parameters and all scores are float32.
        compile: let torch compile the layers for training, for which it needs a C++ compiler; each
            other size of batch is compiled again.
        record: on a GPU, record a step's kernels with the first batch and replay them for all
            others of its size; for flows of many layers. Not with `accumulate`; teams do not.
        noise_copies: noisy copies of each held-out row that a score is averaged over.
        threads: CPU threads; what the machine has where left out. One is nearly as fast for small
            flows, bears other work beside it, and makes the weights independent of the cores.
        seed: of the initial weights, the order of rows, the noise and dropout.
    """

    epochs: Annotated[int, Field(ge=1)] = 200
    patience: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 128
    accumulate: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warm_up: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "cosine"] = "constant"
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    record: bool = False
    noise_copies: Annotated[int, Field(ge=1)] = 10
    threads: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _records_whole_batches(self) -> "FitRecipe":
        if self.record and self.accumulate > 1:
            raise ValueError("record replays whole batches: leave accumulate out")
        return self


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
    terms: Annotated[list[TermRecipe], Field(min_length=1)] = [TermRecipe(kind="kl")]

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
