"""The [fit] section of a recipe: how a flow is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training.config.section import Section


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
