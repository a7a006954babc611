"""The [fit] section of a recipe: how a flow is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training.config.section import Count, Section, Seed


class FitRecipe(Section):
    """How the steps of a training are made, by maximum likelihood or distillation.

    Args:
        epochs: largest number of passes over the training rows.
        patience: number of epochs without a better validation score after which training stops;
            of a flow that is fitted without gradients, steps, of which 5 are the default.
        batch_size: rows of a step.
        accumulate: number of chunks that a batch is computed in, one after another, which needs
            less memory.
        learning_rate: of AdamW, at most 1000; with `schedule = "cosine"` it falls to zero over
            `epochs`.
        warm_up: number of steps over which the learning rate rises from zero.
        schedule: `constant` or `cosine`.
        average: decay of an exponential moving average of the weights, which is scored and saved
            in place of the weights; 0 for no average.
        weight_decay: of AdamW, at most 1000.
        clip_norm: largest norm of the gradient; a very large one for no limit.
        precision: number type of the conditioner networks in training; `bfloat16` and `float16`
            are faster on GPUs, and on CPUs that have instructions for them; on other CPUs they are
            trained in float32. Maps, log-densities, parameters and all scores are float32.
        compile: compile the layers for training with torch, which needs a C++ compiler. Every
            other batch size is compiled again.
        cuda_graph: on a GPU, capture the kernels of a step as a CUDA graph and replay it for
            all batches of the same size; for flows of many layers. It excludes `accumulate`, and
            has no effect on several processes.
        noise_copies: number of noisy copies of each held-out row that a score is averaged over.
        threads: CPU threads. If left out, one for a small flow, whose threads would wait for each
            other longer than they compute, and all that the machine has for a large one. One thread
            also makes the weights independent of the number of cores.
        seed: seed of the initial weights, the order of rows, the noise and the dropout.
    """

    former_names = {"record": "cuda_graph"}  # noqa: RUF012 (a class variable of Section)

    epochs: Count = 200
    patience: Count = 30
    batch_size: Count = 128
    accumulate: Count = 1
    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 1e-3
    warm_up: Annotated[int, Field(ge=0, le=10**9)] = 0
    schedule: Literal["constant", "cosine"] = "constant"
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    clip_norm: Annotated[float, Field(gt=0, le=1e30)] = 5.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    cuda_graph: bool = False
    noise_copies: Annotated[int, Field(ge=1, le=10_000)] = 10
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _captures_whole_batches(self) -> "FitRecipe":
        if self.cuda_graph and self.accumulate > 1:
            raise ValueError("cuda_graph replays whole batches: leave accumulate out")
        return self
