"""The flows of the law table as bundles in a store, by way of a run and the real export."""

from pathlib import Path

import numpy as np
import torch

from models.flow import Flow
from service.bundle import ContextColumn
from tests.laws.zoo_table import FLOWS, Line, case, randomise
from training.config.flow_spec import FlowSpec
from training.config.recipe import Recipe
from training.data.context import Float32
from training.data.dataset import Dataset, Split
from training.evaluate import evaluate
from training.export.bundle import export
from training.runs.run import Run, RunFile


def slug(name: str) -> str:
    """The name of a line's bundle."""
    return name.lower().replace(" ", "-")


def line_flow(name: str, scale: float = 0.15) -> Flow:
    """A line's flow that far from the identity, in float32."""
    flow = FLOWS[name].flow().eval()
    randomise(flow, scale)
    return flow


def write_bundle(name: str, folder: Path, scale: float = 0.15) -> None:
    """Export `line_flow(name, scale)` to folder/store/<slug>/1."""
    one = case(name, torch.float32, rows=256)
    context = None if one.context is None else one.context.numpy()
    flow = line_flow(name, scale)
    export_flow(flow, FLOWS[name], one.x.numpy(), context, folder / "store" / slug(name))


def export_flow(flow: Flow, line: Line, x: Float32, context: Float32 | None, folder: Path) -> None:
    """Export a flow made of a line to store/<name>, by way of a run in store/../runs.

    Args:
        flow: the flow.
        line: how it was made.
        x, context: rows that it accepts, as its training would have had them.
        folder: store/<name>.
    """
    columns = [
        ContextColumn(name=f"c{i}", mean=0.0, scale=1.0, low=-3.0, high=3.0)
        for i in range(line.context)
    ]
    dataset = Dataset(
        name="rows",
        sha256="0" * 64,
        integer=np.zeros(x.shape[1:], bool),
        low=x.min(0).astype(np.float64),
        high=x.max(0).astype(np.float64),
        train=Split(x, context),
        validation=Split(x, context),
        test=Split(x, context),
        context=columns,
    )
    store, name = folder.parent, folder.name
    recipe = Recipe.model_validate({"data": {"source": "rows"}, "flow": {"family": line.family}})
    file = RunFile(
        name=name,
        recipe=recipe,
        flow=FlowSpec.model_validate(line.arguments),
        data_sha256=dataset.sha256,
    )
    run = Run.create(store.parent / "runs" / name, file)
    run.save_best(flow.state_dict())
    export(run, dataset, evaluate(run, dataset), store, name)
