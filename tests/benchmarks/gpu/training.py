"""Steps a second of training, with the kernels of a step as a CUDA graph and without."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.gpu.plan import Model, Plan
from training.config import Recipe
from training.config.flow_spec import FlowSpec
from training.data import Dataset, Split
from training.fit.distributed import SINGLE_PROCESS
from training.fit.gradient import GradientTrainer
from training.fit.likelihood import Likelihood
from training.runs import Progress, Run
from training.runs.run import RunFile

BATCH_ROWS = 1024


def steps_a_second(plan: Plan, recorded: bool) -> dict[str, float]:
    """Of the plan's model of BSDS300, scoring of validation rows included, after a first epoch.

    Args:
        plan: says how many epochs.
        recorded: whether a step is captured as a CUDA graph; on a CPU none is.
    """
    (model,) = (model for model in plan.models if model.name == "bsds300")
    batch = min(BATCH_ROWS, plan.training_rows // 4)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(model, Path(folder) / "run", plan, batch, recorded)
        progress = Progress()
        trainer.begin(progress)
        seconds = []
        for _ in range(1 + plan.epochs):
            started = time.perf_counter()
            trainer.run_pass(progress, lambda _: None)
            if plan.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
    return {"steps a second": trainer.batches * plan.epochs / sum(seconds[1:])}


def _trainer(model: Model, folder: Path, plan: Plan, batch: int, recorded: bool) -> GradientTrainer:
    shape = plan.training_rows, model.dimensions
    rows = np.random.default_rng(0).standard_normal(shape, np.float32)
    dataset = Dataset(
        name="rows",
        sha256="0" * 64,
        integer=np.zeros(model.dimensions, bool),
        low=rows.min(0).astype(np.float64),
        high=rows.max(0).astype(np.float64),
        train=Split(rows),
        validation=Split(rows[:batch]),
        test=Split(rows[:batch]),
    )
    recipe = Recipe.model_validate(
        {
            "data": {"source": "rows"},
            "flow": {"family": model.family},
            "fit": {
                "epochs": 1 + plan.epochs,
                "batch_size": batch,
                "precision": "bfloat16",
                "noise_copies": 1,
                "cuda_graph": recorded and plan.device == "cuda",
            },
        }
    )
    flow = FlowSpec.model_validate(model.line.arguments)
    run = Run.create(
        folder, RunFile(name="run", recipe=recipe, flow=flow, data_sha256=dataset.sha256)
    )
    on_device = run.new_density().to(torch.device(plan.device))
    objective = Likelihood(on_device, dataset, recipe.fit)
    return GradientTrainer(run, objective, SINGLE_PROCESS)
