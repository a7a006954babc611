"""A run that is plotted, by its best weights in torch."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.density import Density
from models.flow import Flow
from models.layerwise import layer_name, through_layers
from service.bundle import BASES, ContextColumn
from training.config import ClassFeature, ContextSpec, SoundSource, TabularSpec, one_line
from training.coverage import Coverage
from training.coverage_of_runs import coverage_of_run
from training.data import AnyDataset, Dataset
from training.errors import NonFiniteError, PlotError, TrainingError
from training.plots.subject import Array, Float64, Rows, Stage, Subject, Traits, read_log
from training.runs import Run, rows_of
from training.scoring import rows_at_once


class RunSubject(Subject):
    """A run.

    Args:
        run: the run.
        data: where its data is now; None if it has not moved.
        picture_shape: see `Subject`.

    Raises:
        TrainingError: it has no weights yet, or is damaged; or `data` is not its own.
    """

    def __init__(
        self, run: Run, data: Path | None = None, picture_shape: Sequence[int] | None = None
    ) -> None:
        self._run, self._density = run, run.best_density()
        self._dataset: AnyDataset | None = None
        self._no_rows = ""
        try:
            self._dataset = rows_of(run, data)
        except (TrainingError, OSError) as error:
            if data is not None:
                raise
            self._no_rows = f"its rows are not to be had: {error}"
        super().__init__(_traits(run, self._density, self._dataset), picture_shape)

    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        """Rows and context → latents, and log p(x) in nats."""
        places = {} if u is None else {"u": u}
        cost = self._density.encode_cost
        return self._in_parts(self._density.encode, cost, x, context, places)

    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        """Latents and context → rows, and log p(x) in nats."""
        return self._in_parts(self._density.decode, self._density.decode_cost, z, context, {})

    def _in_parts(
        self, function: Any, cost: Any, values: Array, context: Array | None, others: dict[str, Any]
    ) -> tuple[Float64, Float64]:
        at_once = rows_at_once(self.traits.event_shape, cost)
        parts = []
        for first in range(0, max(len(values), 1), at_once):
            part = slice(first, first + at_once)
            given = None if context is None else self._tensor(context[part])
            named = {name: self._tensor(array[part]) for name, array in others.items()}
            try:
                with torch.no_grad():
                    parts.append(function(self._tensor(values[part]), given, **named))
            except (RuntimeError, IndexError) as error:  # where weights are no numbers
                raise PlotError(f"{self._run.folder} fails: {one_line(error)}") from None
        rows, log_prob = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
        return rows, log_prob

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, self.traits.dtype))

    @property
    def rows(self) -> Rows:
        """The rows that are held out to test with."""
        if self._dataset is None:
            raise PlotError(self._no_rows)
        test = self._dataset.test
        return Rows(test.rows, test.context, f"held-out rows of {self._dataset.name}")

    @property
    def evaluated_coverage(self) -> Coverage:
        """What `bijecta evaluate --coverage` finds."""
        if self._dataset is None:
            raise PlotError(self._no_rows)
        try:
            return coverage_of_run(self._run, self._dataset)
        except NonFiniteError as error:
            raise PlotError(str(error)) from None

    def decode_by_layers(self, z: Array, context: Array | None) -> list[Stage]:
        """The points that each layer makes of latents in turn: the latents first, rows last."""
        return list(self._through_layers(z, context, decodes=True))

    def encode_by_layers(self, x: Array, context: Array | None) -> list[Stage]:
        """The same of rows: these first, latents last."""
        return list(self._through_layers(x, context, decodes=False))

    def _through_layers(
        self, points: Array, context: Array | None, decodes: bool
    ) -> Iterator[Stage]:
        flow = self._density
        if not isinstance(flow, Flow):
            raise PlotError("a density over typed columns has no layers between rows and latents")
        start, given = self._tensor(points), None if context is None else self._tensor(context)
        with torch.no_grad():
            yield Stage("", start.double().numpy())
            for layer, made, _ in through_layers(flow, start, given, decodes=decodes):
                yield Stage(layer_name(layer), made.double().numpy())

    @property
    def log(self) -> Sequence[Mapping[str, float]]:
        """The lines of the log of the training."""
        return read_log(self._run.folder / "log.jsonl")

    @cached_property
    def teacher(self) -> "RunSubject":
        """The run that this one was taught by."""
        if self._run.file.teacher is None:
            raise PlotError("it is no student: `bijecta distill` makes one")
        return RunSubject(self._run.teacher(), picture_shape=self._picture_shape)


def _traits(run: Run, density: Density, dataset: AnyDataset | None) -> Traits:
    spec = run.file.flow
    is_table = isinstance(spec, TabularSpec)
    base, parameters = BASES["normal"], {}
    if isinstance(density, Flow):
        base, parameters = BASES[density.base.name], density.base.describe()
    numbers: dict[str, Any] = {}
    if isinstance(dataset, Dataset):
        numbers = {"names": dataset.columns, "noise": dataset.noise, "sound": dataset.sound}
        if dataset.integer.any():
            numbers |= {
                "integer": dataset.integer,
                "low": float(dataset.low[dataset.integer].min()),
                "high": float(dataset.high[dataset.integer].max()),
            }
    elif isinstance(run.file.recipe.data, SoundSource):
        raise PlotError(
            f"{run.folder} is of sounds, whose rate is in their files: --data names them"
        )
    if dataset is not None:
        splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        numbers["splits"] = {name: len(split) for name, split in splits.items()}
    if run.file.recipe.distill is not None:
        numbers["chosen_by"] = run.file.recipe.distill.chosen_by
    columns = spec.columns.modelled if isinstance(spec, TabularSpec) else None
    if columns is not None:
        numbers["names"] = [column.name for column in columns]
    return Traits(
        name=run.file.name,
        family=run.file.flow.family,
        data_name=run.file.recipe.data.source if dataset is None else dataset.name,
        event_shape=tuple(density.event_shape),
        latent_shape=tuple(density.latent_shape),
        base=base,
        base_parameters=parameters,
        dtype="float64" if is_table else "float32",
        columns=columns,
        context=_context(spec.context) if dataset is None else dataset.context,
        parameters=sum(parameter.numel() for parameter in density.parameters()),
        **numbers,
    )


def _context(spec: ContextSpec | None) -> list[ContextColumn]:
    """The columns of a context as run.json has them, without names."""
    columns = []
    for i, column in enumerate([] if spec is None else spec.columns):
        name = f"c{i}"
        if isinstance(column, ClassFeature):
            columns.append(ContextColumn(name=name, classes=column.classes))
        else:
            mean, scale = column.mean, column.scale
            columns.append(
                ContextColumn(
                    name=name, mean=mean, scale=scale, low=mean - scale, high=mean + scale
                )
            )
    return columns
