"""The [data] section of a recipe: where rows come from and how they are divided."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from training.config.section import Section

ToyDensity = Literal["moons", "eight_gaussians", "checkerboard", "rings", "two_spirals", "pinwheel"]
"""The names that `training.data.toy` draws rows for."""

Protocol = Literal["power", "gas", "hepmass", "miniboone", "bsds300"]
"""The names that `training.data.protocols` prepares rows for."""

TOY_DENSITIES: tuple[ToyDensity, ...] = get_args(ToyDensity)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

FILES = ("source", "validation", "test")

Share = Annotated[float, Field(gt=0, lt=1)]


class DataRecipe(Section):
    """Where rows come from and how they are divided.

    Args:
        source: `digits`, a name from `TOY_DENSITIES`, or a file's path, from the recipe's
            folder; `--data` overrides.
        protocol: one of `PROTOCOLS`: rows are prepared and divided as published, and
            of the other keys only `source`, `shape`, `augment` and `train_rows` count.
        key: array name, for an `.npz` that holds several.
        drop: columns to leave out, by name.
        context: columns of numbers that the flow is conditioned on instead of modelling them.
        labels: a column of class labels, whole numbers or text, that it is conditioned on; for
            `digits`, `digit`; for an `.npz`, a column or another of its arrays.
        window: samples of one row, of sounds.
        whole: whether a row is a whole sound, cut to the window or followed by silence.
        fade: samples over which the end of one that silence follows falls off, in a straight line.
        level: root mean square that each sound is scaled to, in its own sample steps.
        shape: of one row for the flow, such as [channels, height, width]; flat where left out.
        integers: what to do with whole-number columns: `refuse` them, as a density of a discrete
            column has no bound, or `dequantize` them with noise U(−½, ½).
        noise: deviation of normal noise that is added to every value, so that values that repeat,
            such as silence, have a density with a bound.
        bounds: the closed range of the values; needed for `logit` where not all are integers.
        rows: how many to draw, for densities.
        augment: draw training rows anew at each step: images mirrored left to right, every second
            one; patches of the protocol `bsds300` in all eight ways, and with fresh noise.
        train_rows: train on so many of the rows at most, the first where a protocol orders them.
        validation, test: what is held out for early stopping and for the reported figure: a share
            of the rows, or a file of its own, read as the source is.
        seed: of the draw and of the division.
    """

    source: str | None = None
    protocol: str | None = None
    key: str | None = None
    drop: list[str] = Field(default_factory=list)
    context: list[str] = Field(default_factory=list)
    labels: str | None = None
    window: Annotated[int, Field(ge=1)] | None = None
    whole: bool = False
    fade: Annotated[int, Field(ge=0)] = 0
    level: Annotated[float, Field(gt=0)] | None = None
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    integers: Literal["refuse", "dequantize"] = "refuse"
    noise: Annotated[float, Field(ge=0)] = 0.0
    bounds: tuple[float, float] | None = None
    rows: Annotated[int, Field(ge=10)] = 50_000
    augment: bool = False
    train_rows: Annotated[int, Field(ge=2)] | None = None
    validation: Share | str = 0.1
    test: Share | str = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "DataRecipe":
        if sum(self.shares) >= 1:
            raise ValueError("validation and test together must leave rows to train on")
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError("bounds are [low, high] with low < high")
        return self

    @model_validator(mode="after")
    def _knows_its_protocol(self) -> "DataRecipe":
        if self.protocol is None:
            return self
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {self.protocol!r}")
        # not by what was set: a run's file sets all
        free = {"source", "shape", "augment", "train_rows"}
        theirs = DataRecipe(**self.model_dump(include=free)).model_dump()
        given = self.model_dump(exclude={"protocol"})
        if more := sorted(name for name, value in given.items() if value != theirs[name]):
            raise ValueError(f"protocol {self.protocol!r} leaves no choice of {', '.join(more)}")
        return self

    @property
    def shares(self) -> list[float]:
        """What parts of the source's rows are held out, to validate and to test."""
        return [0.0 if isinstance(part, str) else part for part in (self.validation, self.test)]

    @model_validator(mode="after")
    def _gives_each_column_one_part(self) -> "DataRecipe":
        named = [*self.drop, *self.context, *([] if self.labels is None else [self.labels])]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"drop, context and labels name {twice} more than once")
        return self
