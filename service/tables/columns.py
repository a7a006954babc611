"""What the columns of a table are: the kinds, and what of each is kept beside a model.

A row of a typed table travels inside the product as float64, N × D:

- numeric, lattice: the number itself; of a lattice an exact multiple of its step;
- datetime: seconds since 1970-01-01T00:00:00 UTC;
- categorical: the code of the class, 0 … K − 1; K stands for every other class;
- missing: NaN, in columns with `missing` alone.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from service.tables.durations import DURATIONS

Float64 = NDArray[np.float64]
Word = bool | str | int | float
"""A value of a class. Truth comes first: written by the first type that it has, True would be 1."""

MAX_NAME_CHARACTERS = 500

MAX_POINT_MASSES = 64
MAX_CLASSES = 2**16

# A step is written as a fraction of whole numbers below this.
MAX_DENOMINATOR = 10**9


def is_column_name(name: str) -> bool:
    """Whether a name can stand in a manifest: printable, and not too long."""
    return len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def _column_name(name: str) -> str:
    if not is_column_name(name):
        raise ValueError(f"expected printable text of at most {MAX_NAME_CHARACTERS} characters")
    return name


def _duration_form(form: str) -> str:
    if form not in DURATIONS:
        raise ValueError(f"expected a form of durations, one of {', '.join(DURATIONS)}")
    return form


ColumnName = Annotated[str, AfterValidator(_column_name)]

TimeFeature = Literal["hour", "weekday", "day_of_year"]
"""What the conditioner reads of a time: its hour with its fraction, weekday (0: Monday), and so on.

A feature is no column of its own: log_prob is of the time.
"""


class TableError(ValueError):
    """A table, or what is asked of its columns, that cannot be; says which column and why."""


class TablePart(BaseModel):
    """A part of the description of a table: it never changes, and all its keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Column(TablePart):
    """What columns of all kinds have.

    Args:
        missing: whether values can be missing.
    """

    name: ColumnName
    missing: bool = False


class _Measured(_Column):
    """What columns of numbers and times have.

    Args:
        low, high: the smallest and the largest value, those of large weight too.
    """

    low: float
    high: float

    @model_validator(mode="after")
    def _has_an_ordered_range(self) -> "_Measured":
        if self.low > self.high:
            raise ValueError(f"column {self.name!r}: low {self.low:g} is above high {self.high:g}")
        return self


class _Number(_Measured):
    """What columns of numbers have.

    Args:
        duration: of seconds, how they are written, one of `durations.DURATIONS`; None of plain
            numbers.
    """

    duration: Annotated[str, AfterValidator(_duration_form)] | None = None

    @model_serializer(mode="wrap")
    def _without_a_form_of_no_durations(
        self, write: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.duration is None:  # as programs write it that know no durations
            written.pop("duration", None)
        return written


class NumericColumn(_Number):
    """Real numbers.

    Args:
        point_masses: values that so many rows have that they have a probability of their own.
    """

    kind: Literal["numeric"] = "numeric"
    point_masses: Annotated[list[float], Field(max_length=MAX_POINT_MASSES)] = []


class LatticeColumn(_Number):
    """Multiples of a step.

    Args:
        step, origin: the values are origin + k step, for whole k.
        closed: whether no value outside [low, high] can occur.
        point_masses: values of large weight.
    """

    kind: Literal["lattice"] = "lattice"
    step: Annotated[float, Field(gt=0)]
    origin: float = 0.0
    closed: bool = False
    point_masses: Annotated[list[float], Field(max_length=MAX_POINT_MASSES)] = []

    @property
    def cells(self) -> int:
        """How many values there are from the smallest to the largest."""
        return round((self.high - self.low) / self.step) + 1

    def nearest(self, values: Float64) -> Float64:
        """The values of the lattice that are nearest, see `on_lattice`."""
        return on_lattice(values, self.step, self.origin)


class DatetimeColumn(_Measured):
    """Times, in seconds since 1970-01-01T00:00:00 UTC.

    Args:
        step: in seconds, where all times are multiples of it since 1970: 60 for whole minutes,
            86400 for dates; null for any time.
        features: what varies of the times.
        format: how they are written, as `datetime.strftime` has it.
    """

    kind: Literal["datetime"] = "datetime"
    step: Annotated[float, Field(gt=0)] | None = None
    features: list[TimeFeature] = []
    format: Annotated[str, Field(max_length=40)] = "%Y-%m-%dT%H:%M:%S"


class CategoricalColumn(_Column):
    """Values of which there are few, without an order.

    Args:
        classes: in the order of their codes, the most frequent first.
        other: whether there is one more code, for all other classes.
    """

    kind: Literal["categorical"] = "categorical"
    classes: Annotated[list[Word], Field(min_length=1, max_length=MAX_CLASSES)]
    other: bool = True

    @model_validator(mode="after")
    def _has_different_classes(self) -> "CategoricalColumn":
        if len({class_key(each) for each in self.classes}) < len(self.classes):
            raise ValueError(f"column {self.name!r} has a class twice")
        return self

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return len(self.classes) + self.other

    # Of up to 65,536 classes: made once, and not for each request or each word of one. No
    # cached_property: what pydantic does not know in an instance makes it write True as 1
    _code_of: dict[tuple[str, Word], float] = PrivateAttr()
    _holds_text: bool = PrivateAttr()

    def model_post_init(self, _: Any) -> None:
        """Make what depends on the classes alone."""
        fractions = [(w, c) for c, w in enumerate(self.classes) if isinstance(w, float) and w % 1]
        rounded = [(w, float(code), float(np.float32(w))) for w, code in reversed(fractions)]
        # a whole number is not one that is rounded
        self._code_of = {("float32", r): code for w, code, r in rounded if r != w and r % 1}
        self._code_of |= {class_key(word): float(code) for code, word in enumerate(self.classes)}
        self._holds_text = any(isinstance(word, str) for word in self.classes)

    @property
    def code_of(self) -> dict[tuple[str, Word], float]:
        """The code of each class by its `class_key`; of fractions by their float32 too."""
        return self._code_of

    @property
    def holds_text(self) -> bool:
        """Whether a class is text."""
        return self._holds_text


Column = Annotated[
    NumericColumn | LatticeColumn | DatetimeColumn | CategoricalColumn,
    Field(discriminator="kind"),
]

Constant = Column | Literal["missing"]
"""A column of the one value that every row has, or that no row has any."""

Reason = Literal["constant", "identifier", "copy", "dropped"]


class LeftOutColumn(TablePart):
    """A column that is not modelled.

    Args:
        reason: a word for programs; `copy` for what follows from other columns.
        detail: the same for people.
        constant: what every row has; null of what is left out for other reasons, and where no value
            of the data is to be known.
    """

    name: ColumnName
    reason: Reason
    detail: str
    constant: Constant | None = None

    @model_serializer(mode="wrap")
    def _without_an_unknown_constant(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.constant is None:  # as programs write it that know no constants
            del written["constant"]
        return written

    def without_values(self) -> "LeftOutColumn":
        """The same column, without any value of its rows."""
        if self.reason != "constant" or self.constant == "missing":
            return self
        return LeftOutColumn(name=self.name, reason=self.reason, detail="has one value")


def some_value(column: Column) -> float:
    """A value that a column has, as rows hold it: its smallest, or its first class."""
    return 0.0 if isinstance(column, CategoricalColumn) else column.low


def on_lattice(values: Float64, step: float, origin: float = 0.0) -> Float64:
    """The multiples of a step, from an origin, that are nearest to some values.

    0.1 times 3 is 0.30000000000000004, and the number that files hold is 0.3: steps and origins
    that are fractions of whole numbers are computed with these.
    """
    counts = np.rint((values - origin) / step)
    numerator, offset, denominator = _fractions(step, origin)
    result: Float64 = (counts * numerator + offset) / denominator + 0.0  # no −0.0
    return result


@lru_cache(maxsize=1024)
def _fractions(step: float, origin: float) -> tuple[float, float, float]:
    """p, a, q, whole where there are such, with multiples (k p + a) / q."""
    fractions = [Fraction(value).limit_denominator(MAX_DENOMINATOR) for value in (step, origin)]
    q = math.lcm(*(fraction.denominator for fraction in fractions))
    p, a = (float(fraction * q) for fraction in fractions)
    close = math.isclose(p / q, step) and math.isclose(a / q, origin)
    return (p, a, float(q)) if close else (step, origin, 1.0)


def class_key(value: Word) -> tuple[str, Word]:
    """What tells classes apart: True is no 1, and 1 no "1", but 1.0 is 1."""
    return ("bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "", value)
