"""The flow of a run: all that `zoo.build` needs, as run.json keeps it."""

import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from service.tables import Column, LeftOutColumn
from training.config.flow import MAX_WHOLE_OPTION, TYPED_FAMILIES, TypedFamily, complete_options
from training.config.plain import shown
from training.config.section import Count, Section

if TYPE_CHECKING:
    from models.columns import TypedColumns
    from models.flow import Flow


# A row of so many numbers takes 64 MiB in float32.
MAX_COORDINATES = 2**24


class PreprocessingStep(BaseModel):
    """A fixed first layer of a flow, and the layer's arguments beside it.

    Args:
        kind: a key of `zoo.PREPROCESSING`.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    kind: str

    @model_validator(mode="after")
    def _fits_its_layer(self) -> "PreprocessingStep":
        from models import zoo

        if self.kind not in zoo.PREPROCESSING:
            known = ", ".join(zoo.PREPROCESSING)
            raise ValueError(f"unknown preprocessing {shown(self.kind)}: one of {known}")
        try:
            inspect.signature(zoo.PREPROCESSING[self.kind]).bind((), **self.arguments)
        except TypeError as error:
            raise ValueError(f"preprocessing {self.kind!r}: {error}") from None
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The layer's arguments beside the event shape."""
        return dict(self.model_extra or {})


class NumberFeature(Section):
    """A column of context that is standardised.

    Args:
        mean, scale: of its values in the training rows.
    """

    mean: float
    scale: Annotated[float, Field(gt=0)]


class ClassFeature(Section):
    """A column of class labels, one-hot or embedded.

    Args:
        classes: the numbers of the classes.
    """

    classes: Annotated[list[int], Field(min_length=1)]


class ContextSpec(Section):
    """What a flow is conditioned on, as `models.context.ContextFeatures` takes it.

    Args:
        columns: of the raw context, in order.
        embedding: number of learned features that represent the classes; one-hot if None.
    """

    columns: Annotated[list[NumberFeature | ClassFeature], Field(min_length=1)]
    embedding: Annotated[int, Field(ge=1, le=MAX_WHOLE_OPTION)] | None = None


class FlowSpec(Section):
    """A flow for one data set: its family and all that its layers need to know of the data.

    Args:
        family: a key of `zoo.FAMILIES`.
        event_shape: shape of one data row.
        preprocessing: fixed first layers, fitted to the training rows.
        options: the family's options, complete.
        context: what the flow is conditioned on; None if nothing.
    """

    family: str
    event_shape: Annotated[list[Count], Field(min_length=1, max_length=8)]
    preprocessing: list[PreprocessingStep] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    context: ContextSpec | None = None

    @field_validator("event_shape")
    @classmethod
    def _is_of_a_size(cls, shape: list[int]) -> list[int]:
        if (n := math.prod(shape)) > MAX_COORDINATES:
            raise ValueError(f"rows of {n} numbers, expected at most {MAX_COORDINATES}")
        return shape

    @model_validator(mode="after")
    def _completes_options(self) -> "FlowSpec":
        self.options = complete_options(self.family, self.options)
        return self

    @model_serializer(mode="wrap")
    def _without_an_empty_context(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        if self.context is None:
            del content["context"]
        return content

    def build(self) -> "Flow":
        """Build the flow, freshly initialised by torch's generator.

        Raises:
            ValueError: values that make no flow.
        """
        from models import zoo

        return zoo.build(**self.model_dump())


class TableColumns(Section):
    """What is decided of the columns of a table, once, when a run of it begins.

    Args:
        modelled: the columns of a row, in their order.
        left_out: the others, of which the density knows nothing.
    """

    modelled: Annotated[list[Column], Field(min_length=1, max_length=MAX_COORDINATES)]
    left_out: list[LeftOutColumn] = Field(default_factory=list)


class TabularSpec(Section):
    """A density over typed columns for one data set, with all that it needs to know of the data.

    Args:
        family: a key of `zoo.TYPED_FAMILIES`.
        columns: what is decided of the table.
        fitted: of each modelled column, the numbers that are fitted to the training rows
            (`training.preprocessing.fit_columns`).
        rows: number of training rows.
        options: the family's options, complete.
        context: what the density is conditioned on; None if nothing.
    """

    family: TypedFamily = "tabular"
    columns: TableColumns
    fitted: list[dict[str, Any]]
    rows: Annotated[int, Field(ge=1)]
    options: dict[str, Any] = Field(default_factory=dict)
    context: ContextSpec | None = None

    @model_validator(mode="after")
    def _has_numbers_of_each_column(self) -> "TabularSpec":
        kinds = [column.kind for column in self.columns.modelled]
        fitted = [column.get("kind") for column in self.fitted]
        if kinds != fitted:
            raise ValueError(f"fitted columns of kinds {shown(fitted)}, expected {shown(kinds)}")
        return self

    @model_validator(mode="after")
    def _completes_options(self) -> "TabularSpec":
        self.options = complete_options(self.family, self.options)
        return self

    @property
    def event_shape(self) -> list[int]:
        """Shape of one row."""
        return [len(self.fitted)]

    def build(self) -> "TypedColumns":
        """Build the density, freshly initialised by torch's generator: independent columns.

        Raises:
            ValueError: values that make no density.
        """
        from models import zoo

        context = None if self.context is None else self.context.model_dump()
        return zoo.build_tabular(
            self.fitted, self.rows, family=self.family, context=context, options=self.options
        )


def _kind_of_spec(flow: Any) -> str:
    family = flow.get("family") if isinstance(flow, Mapping) else getattr(flow, "family", None)
    return "table" if family in TYPED_FAMILIES else "flow"


AnySpec = Annotated[
    Annotated[FlowSpec, Tag("flow")] | Annotated[TabularSpec, Tag("table")],
    Discriminator(_kind_of_spec),
]
"""What a run trains."""
