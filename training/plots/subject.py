"""The model that is plotted, of a run or of a bundle. Needs neither torch nor onnxruntime."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import (
    BaseDensity,
    ContextColumn,
    LatentDraw,
    PictureShape,
    RandomStreams,
    Sound,
    picture_shape,
)
from service.conformal import Calibration
from service.tables import Column
from training.coverage import Coverage
from training.errors import PlotError

Array = NDArray[Any]
Float64 = NDArray[np.float64]


class Rows(NamedTuple):
    """Rows of data beside which a model is drawn.

    Args:
        values: N × event shape, as clients send them.
        context: what each is conditioned on, N × columns; None without.
        said: what they are, for a title.
    """

    values: Array
    context: Array | None
    said: str


class Scores(NamedTuple):
    """Scores of a detector, of which a larger one is more anomalous.

    Args:
        calibration: those of normal rows.
        label: the column of the context within whose classes rows are compared; None where all are.
        of_rows: those of rows of data, N; None without.
        classes: the class of each of these, N; None where all are compared.
        said: what these are, for people.
    """

    calibration: Calibration
    label: ContextColumn | None
    of_rows: Float64 | None
    classes: Array | None
    said: str


class Stage(NamedTuple):
    """Points between two layers of a flow.

    Args:
        layer: that they come from; empty of those that the first layer takes.
        points: N × event shape.
    """

    layer: str
    points: Array


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is known of a model without running it.

    Args:
        name, family: of the model.
        data_name: of what it was trained on.
        event_shape, latent_shape: of a row, and of its latent.
        base, base_parameters: the density of latents.
        dtype: of rows and latents.
        columns: of typed columns, what they are; None of numbers.
        names: of the coordinates, in row-major order; None where they have none.
        context: the columns that rows are conditioned on.
        integer: event shape, which coordinates are whole numbers that got noise U(−½, ½).
        noise: deviation of normal noise that all values got.
        low, high: range of the whole numbers; None where there are none.
        sound: what rows of sound are; None of others.
        parameters: how many numbers were trained; None where that is not known.
        splits: how many rows trained, stopped the training and are held out; None likewise.
        chosen_by: of a student whose log is known, what its weights were chosen by: `kl` or `loss`.
    """

    name: str
    family: str
    data_name: str
    event_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    base: BaseDensity
    base_parameters: Mapping[str, Any]
    dtype: str
    columns: Sequence[Column] | None = None
    names: Sequence[str] | None = None
    context: Sequence[ContextColumn] = ()
    integer: NDArray[np.bool_] | None = None
    noise: float = 0.0
    low: float | None = None
    high: float | None = None
    sound: Sound | None = None
    parameters: int | None = None
    splits: Mapping[str, int] | None = None
    chosen_by: str | None = None

    @property
    def dimensions(self) -> int:
        """Number of coordinates of a row."""
        return math.prod(self.event_shape)

    @property
    def column_names(self) -> list[str]:
        """Names of the coordinates, made up where they have none."""
        return list(self.names or [f"x{i}" for i in range(self.dimensions)])


class Subject(ABC):
    """A model that is plotted.

    Args:
        traits: what is known of it.
        picture_shape: of a row that is drawn as a picture, [channels, ]height, width; seen from
            the rows if None.
    """

    def __init__(self, traits: Traits, picture_shape: Sequence[int] | None = None) -> None:
        self.traits = traits
        self._picture_shape = picture_shape

    @property
    def title(self) -> str:
        """What it is, for the head of a figure."""
        return f"{self.traits.name} ({self.traits.family})"

    @abstractmethod
    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        """Rows and context → latents, and log p(x) in nats.

        Args:
            x: N × event shape.
            context: N × columns, exactly where the model has one.
            u: of typed columns, where discrete values lie in their cells: N × columns in (0, 1).
        """

    @abstractmethod
    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        """Latents and context → rows, and log p(x) in nats."""

    @property
    @abstractmethod
    def rows(self) -> Rows:
        """Rows of data that training did not see.

        Raises:
            PlotError: there are none here, and why.
        """

    @property
    def rows_if_any(self) -> Rows | None:
        """The same; None where there are none here."""
        try:
            return self.rows
        except PlotError:
            return None

    @abstractmethod
    def decode_by_layers(self, z: Array, context: Array | None) -> list[Stage]:
        """The points that each layer makes of latents in turn: the latents first, rows last.

        Raises:
            PlotError: they are not to be had, and why.
        """

    @abstractmethod
    def encode_by_layers(self, x: Array, context: Array | None) -> list[Stage]:
        """The same of rows: these first, latents last."""

    @property
    @abstractmethod
    def log(self) -> Sequence[Mapping[str, float]]:
        """The lines of the log of the training.

        Raises:
            PlotError: there is none, and why.
        """

    @property
    @abstractmethod
    def teacher(self) -> "Subject":
        """The model that this one imitates.

        Raises:
            PlotError: there is none, and why.
        """

    @property
    def scores(self) -> Scores:
        """Of a detector, how anomalous normal rows and rows of data are.

        Raises:
            PlotError: there are none, and why.
        """
        raise PlotError("it is no detector: `bijecta fit-detector` makes one")

    @property
    def evaluated_coverage(self) -> Coverage | None:
        """Of a run, what `bijecta evaluate --coverage` finds; None of others.

        Raises:
            PlotError: its rows are not to be had, or a draw is not a number.
        """
        return None

    def check_latents(self) -> None:  # noqa: B027 (most have nothing to refuse)
        """Check that all latents are of one base, and mean the same.

        Raises:
            PlotError: they do not, and why.
        """

    def latents(self, n: int, seed: int, temperature: float = 1.0) -> Array:
        """Latents drawn from the base, as a server draws them: n × latent shape."""
        return self.latents_of_base(self.traits.base_parameters, n, seed, temperature)

    def latents_of_base(
        self, parameters: Mapping[str, Any], n: int, seed: int, temperature: float
    ) -> Array:
        """The same of the base with these parameters.

        Raises:
            PlotError: it has no such temperature.
        """
        traits = self.traits
        try:
            traits.base.check(temperature, None)
        except ValueError as error:
            raise PlotError(str(error)) from None
        shape = (n, *traits.latent_shape)
        asked = LatentDraw(RandomStreams.of_seed(seed), shape, parameters, temperature, None)
        return traits.base.draw(asked).astype(traits.dtype)

    def draw(self, n: int, seed: int) -> Float64:
        """Rows drawn from the model, as a server draws them: n × event shape.

        Raises:
            PlotError: one is not finite.
        """
        return self.finite_rows(self.latents(n, seed), self.contexts(n))

    def finite_rows(self, z: Array, context: Array | None) -> Float64:
        """Decode latents: n × event shape.

        Raises:
            PlotError: a row is not finite; a missing value of typed columns is no such row.
        """
        x, _ = self.decode(z, context)
        wrong = np.isinf(x) if self.traits.columns is not None else ~np.isfinite(x)
        if wrong.any():
            bad = wrong.reshape(len(x), -1).any(1)
            raise PlotError(
                f"{self.traits.name} decodes {int(bad.sum())} of {len(x)} latents to rows that are "
                f"not finite, the first of them latent {int(bad.argmax())}"
            )
        return x

    def contexts(self, n: int) -> Array | None:
        """What n draws are conditioned on; None without a context.

        Each class in turn where there is one label alone, else those of the rows of data, else the
        example of each column.
        """
        columns = self.traits.context
        if not columns:
            return None
        if len(columns) == 1 and columns[0].classes:
            given = np.array(columns[0].classes, self.traits.dtype)[:, None]
        else:
            rows = self.rows_if_any
            example = np.array([[column.example for column in columns]], self.traits.dtype)
            given = example if rows is None or rows.context is None else rows.context
        return np.resize(given, (n, len(columns)))

    def noisy(self, rows: Array, seed: int) -> Array:
        """Rows with the noise that training added: to whole numbers U(−½, ½), and normal noise."""
        traits = self.traits
        rng = np.random.default_rng(seed)
        noise = np.zeros(rows.shape)
        if traits.integer is not None:
            noise += rng.uniform(-0.5, 0.5, rows.shape) * traits.integer
        if traits.noise:
            noise += traits.noise * rng.standard_normal(rows.shape)
        return np.asarray(rows + noise, rows.dtype)

    @cached_property
    def picture_shape(self) -> PictureShape:
        """Channels, height and width of a row that is a picture.

        A flat row is one if it is of whole numbers alone without names, as many as a square has.

        Raises:
            PlotError: it is none.
        """
        traits = self.traits
        whole = traits.integer is not None and bool(traits.integer.all())
        given = self._picture_shape or traits.event_shape
        shape = picture_shape(given, whole and not traits.names)
        if shape is None or traits.columns is not None or traits.sound is not None:
            raise PlotError(
                f"rows of shape {list(traits.event_shape)} are no pictures (--shape HEIGHT,WIDTH "
                "or CHANNELS,HEIGHT,WIDTH says otherwise)"
            )
        if math.prod(shape) != traits.dimensions or shape[0] not in (1, 3):
            raise PlotError(
                f"pictures have one channel or three, and shape {list(shape)} "
                f"{math.prod(shape)} values: rows have {traits.dimensions}"
            )
        return shape


def shown_value(column: ContextColumn, value: float) -> str:
    """A value of a context for people: the name of its class, or a number."""
    classes = column.classes or []
    if value not in classes:
        return f"{value:.3g}".replace("-", "−")
    i = classes.index(int(value))
    return column.labels[i] if column.labels else str(classes[i])


def read_log(path: Path) -> list[Mapping[str, float]]:
    """The lines of RUN/log.jsonl.

    Raises:
        PlotError: it is missing or damaged.
    """
    try:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise PlotError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PlotError(f"{path} is damaged: {error}") from None
    if not lines:
        raise PlotError(f"{path} has no line yet")
    return lines
