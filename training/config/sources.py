"""The keys of each kind of source that rows can come from."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from training.config.plain import shown, shown_key
from training.config.section import Count, Real, Section, Seed

ToyDensity = Literal["moons", "eight_gaussians", "checkerboard", "rings", "two_spirals", "pinwheel"]
"""The names that `training.data.toy` draws rows for."""

Protocol = Literal["power", "gas", "hepmass", "miniboone", "bsds300"]
"""The names that `training.data.protocols` prepares rows for."""

TOY_DENSITIES: tuple[ToyDensity, ...] = get_args(ToyDensity)

Share = Annotated[float, Field(gt=0, lt=1)]
Integers = Literal["refuse", "dequantize"]


class RowSource(Section):
    """The keys that every kind of source has.

    Args:
        kind: a key of `SOURCE_KINDS`; derived from the other keys if absent, see `kind_of`.
        source: where the rows come from: a file's path from the recipe's folder, or a name;
            `--data` overrides it.
        shape: of one row for the flow, such as [channels, height, width]; flat if absent.
        augment: draw training rows anew at each step: images are mirrored left to right with
            probability ½; patches of the protocol `bsds300` are also turned, with fresh noise.
        train_rows: train on at most this many of the rows, the first if a protocol orders them.
    """

    kind: str
    source: Annotated[str, Field(min_length=1)]
    shape: Annotated[list[Count], Field(min_length=1, max_length=8)] | None = None
    augment: bool = False
    train_rows: Annotated[int, Field(ge=2)] | None = None


class DividedSource(RowSource):
    """The keys of sources whose rows are checked, and divided by shares.

    Args:
        context: columns of numbers that the flow is conditioned on instead of modelling them.
        integers: what to do with whole-number columns: `refuse` them, as a density of a discrete
            column has no bound, or `dequantize` them with noise U(−½, ½).
        noise: standard deviation of normal noise that is added to every value, so that values that
            repeat, such as silence, have a bounded density.
        bounds: the closed range of the values; needed for `logit` unless all are integers.
        validation, test: what is held out for early stopping and for the reported figure: a share
            of the rows or, beside a file, a file of its own that is read in the same way.
        repeated_rows: `together`, so that no row that is held out is trained on too; or `apart`,
            as all versions before `together` divided. Tables of whole numbers alone, whose rows
            repeat by nature, are always divided row by row.
        seed: of the division, and of the draw of a toy density.
    """

    context: list[str] = Field(default_factory=list)
    integers: Integers = "refuse"
    noise: Annotated[float, Field(ge=0, le=1e30)] = 0.0
    bounds: tuple[Real, Real] | None = None
    validation: Share | str = 0.1
    test: Share | str = 0.1
    repeated_rows: Literal["together", "apart"] = "together"
    seed: Seed = 0

    @field_validator("validation", "test", mode="before")
    @classmethod
    def _holds_out_files_beside_files(cls, held: Any) -> Any:
        if isinstance(held, str) and not issubclass(cls, FileSource):
            raise ValueError(f"{shown(held)} can be held out beside a file, not beside this source")
        if not (held if isinstance(held, str) else _is_share(held)):
            raise ValueError(
                f"expected a share of the rows above 0 and below 1, or a file, got {shown(held)}"
            )
        return held

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "DividedSource":
        if sum(self.shares) >= 1:
            raise ValueError("validation and test together must leave rows to train on")
        return self

    @model_validator(mode="after")
    def _has_ordered_bounds(self) -> "DividedSource":
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError("bounds are [low, high] with low < high")
        return self

    @model_validator(mode="after")
    def _uses_each_column_once(self) -> "DividedSource":
        named = self.columns_not_modelled
        if repeated := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"drop, context and labels name {repeated} more than once")
        return self

    @property
    def columns_not_modelled(self) -> list[str]:
        """The columns that are dropped, or that the flow is conditioned on."""
        return self.context

    @property
    def shares(self) -> list[float]:
        """The shares of the source's rows that are held out to validate and to test."""
        return [0.0 if isinstance(held, str) else held for held in (self.validation, self.test)]


def _is_share(held: Any) -> bool:
    return isinstance(held, int | float) and not isinstance(held, bool) and 0 < held < 1


class ToySource(DividedSource):
    """A classic 2-D density.

    Args:
        rows: how many to draw.
    """

    kind: Literal["toy"] = "toy"
    source: ToyDensity
    rows: Annotated[int, Field(ge=10, le=10**8)] = 50_000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    validation: Share = 0.1
    test: Share = 0.1


class DigitsSource(DividedSource):
    """The scanned 8×8 digits that come with scikit-learn, pixels 0–16.

    Args:
        labels: `digit`, to condition the flow on the class.
    """

    kind: Literal["digits"] = "digits"
    source: Literal["digits"]
    labels: Literal["digit"] | None = None
    integers: Literal["dequantize"] = "dequantize"
    validation: Share = 0.1
    test: Share = 0.1


class FileSource(DividedSource):
    """The keys of all sources that are files or folders.

    Args:
        drop: columns to leave out, by name.
        labels: a column of class labels, whole numbers or text, that the flow is conditioned on.
            Files of arrays or images can hold the labels beside the rows.
    """

    drop: list[str] = Field(default_factory=list)
    labels: str | None = None

    @property
    def columns_not_modelled(self) -> list[str]:
        """The columns that are dropped, or that the flow is conditioned on."""
        return [*self.drop, *self.context, *([] if self.labels is None else [self.labels])]


class TypedSource(FileSource):
    """The keys of sources whose columns can be of any kind; they are for the family `tabular`.

    Args:
        keep: columns that are modelled though they look like constants, identifiers or copies.
        kinds: of columns: `numeric`, `lattice`, `categorical`, `datetime`, `duration`, or a form of
            times or durations as in `datetime %d/%m/%Y`; found in the values where absent.
    """

    keep: list[str] = Field(default_factory=list)
    kinds: dict[str, str] = Field(default_factory=dict)


class TableSource(TypedSource):
    """A table or one array of rows: CSV, TSV, Parquet, npy, IDX.

    Args:
        header: whether the first line of a text file holds names; guessed, and said, if absent.
    """

    kind: Literal["table"] = "table"
    header: bool | None = None


class ArchiveSource(TypedSource):
    """An archive of arrays: npz.

    Args:
        key: name of the array of rows, if the archive holds several.
    """

    kind: Literal["archive"] = "archive"
    key: str | None = None


class ImageSource(FileSource):
    """Images: a batch of CIFAR-10, a file of SVHN, or a folder of pictures."""

    kind: Literal["images"] = "images"


class SoundSource(FileSource):
    """Waveforms: a folder or a zip of `.wav` files.

    Args:
        window: samples of one row.
        whole: whether a row is a whole sound, cut to the window or followed by silence.
        fade: samples over which the end of a sound that silence follows falls off linearly.
        level: root mean square that each sound is scaled to, in its own sample steps.
    """

    kind: Literal["sounds"] = "sounds"
    window: Annotated[int, Field(ge=1, le=10**7)]
    whole: bool = False
    fade: Annotated[int, Field(ge=0, le=10**7)] = 0
    level: Annotated[float, Field(gt=0, le=1e30)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_a_window(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and keys.get("window") is None:
            raise ValueError(
                f"{shown_key(str(keys.get('source')))} holds sounds: set window = SAMPLES, the "
                "length of a row, in [data]"
            )
        return keys


class ProtocolSource(RowSource):
    """Rows that are prepared and divided as published.

    Args:
        protocol: which of the published preparations.
    """

    kind: Literal["protocol"] = "protocol"
    protocol: Protocol


SOURCE_KINDS: dict[str, type[RowSource]] = {
    "table": TableSource,
    "archive": ArchiveSource,
    "images": ImageSource,
    "sounds": SoundSource,
    "toy": ToySource,
    "digits": DigitsSource,
    "protocol": ProtocolSource,
}
"""The kinds by the name that `kind` has in [data]."""
