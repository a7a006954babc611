"""How the fields of a request come together, from its body and the query string."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from service.bundle import AnyManifest, EnsembleManifest
from service.errors import MOST_NAMED, InvalidInputError, few, readable
from service.inflight import Reading
from service.operations import (
    ENSEMBLE_REQUESTS,
    TABLE_REQUESTS,
    TEXT,
    FlowRequest,
    TableColumns,
    check_has_rows,
    context_alone,
    hole_texts,
    rows_and_context,
    typed_rows_and_context,
)
from service.tables import RawColumn

# A word of a table, or a value by name, takes about as long to be made sense of as so many numbers.
NUMBERS_PER_WORD = 16

YES_OR_NO = TypeAdapter(bool)

R = TypeVar("R", bound=FlowRequest)


class PendingRequest(ABC):
    """A request that only the model that it names makes sense of.

    Attributes:
        model, version: which model is asked.
    """

    model: str | None
    version: int | None

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers are to be looked at to make sense of it, about."""

    @abstractmethod
    def resolved(self, manifest: AnyManifest) -> FlowRequest:
        """The request, as the model takes it.

        Raises:
            InvalidInputError: columns that are not the model's, or values that the schema refuses.
        """


@dataclass(frozen=True)
class TableRequest(PendingRequest):
    """A request whose rows are named columns, which the model puts in order.

    Args:
        schema: of the request to a flow.
        table: columns by name.
        query: the other fields.
        model, version: which model is asked.
    """

    schema: type[FlowRequest]
    table: TableColumns
    query: Mapping[str, str]
    model: str | None
    version: int | None

    @classmethod
    def read(
        cls,
        schema: type[FlowRequest],
        read: Callable[[bytes, Reading, int], TableColumns],
        body: bytes,
        query: Mapping[str, str],
        reading: Reading,
    ) -> "TableRequest":
        """A request whose rows are a table, with the context beside them.

        Args:
            schema: of the request to a flow.
            read: from a body, limits and the largest number of rows to columns by name.
            body: all of it.
            query: the other fields.
            reading: limits.

        Raises:
            InvalidInputError: a model or version that is none.
            ServiceError: what `read` raises.
        """
        limits = reading.limits
        max_rows = limits.sample_rows if schema.npy_fields == ("context",) else limits.rows
        return cls(schema, read(body, reading, max_rows), query, *target(query))

    @property
    def numbers(self) -> int:
        """Of all columns, where a word counts as many."""
        sizes = [
            values.size
            if not isinstance(values, RawColumn)
            else len(values) * (NUMBERS_PER_WORD if values.form == "words" else 1)
            for values in self.table.values()
        ]
        return sum(sizes)

    def resolved(self, manifest: AnyManifest) -> FlowRequest:
        """The request, with the columns in the order of the model's."""
        schema = schema_for(self.schema, manifest)
        names = self.schema.npy_fields
        if names == ("context",):
            alone = {"context": context_alone(self.table, manifest)}
            return with_query(schema, alone, self.query)
        name = "x" if len(names) > 1 else names[0]
        has_holes = len(names) == 1 and is_true(self.query.get("partial", ""))
        if manifest.typed is not None and name == "x":
            typed, context = typed_rows_and_context(self.table, manifest.typed, has_holes)
            fields: dict[str, Any] = {"x": typed} if len(names) == 1 else typed.ends(names)
        else:
            rows, context = rows_and_context(self.table, manifest, name, has_holes)
            fields = {**rows_by_field(schema, rows)}
        if context is not None:
            fields["context"] = context
        request = with_query(schema, fields, self.query)
        if has_holes and manifest.typed is None:
            request.tell_holes(hole_texts(self.table, manifest, name))
        return request


@dataclass(frozen=True)
class ArrayRequest(PendingRequest):
    """A request whose rows are one array, or none, where there are models of typed columns.

    Args:
        schema: of the request to a flow.
        array: rows; None where there is no body.
        query: the other fields.
        model, version: which model is asked.
    """

    schema: type[FlowRequest]
    array: NDArray[Any] | None
    query: Mapping[str, str]
    model: str | None
    version: int | None

    @property
    def numbers(self) -> int:
        """Of the array."""
        return 0 if self.array is None else self.array.size

    def resolved(self, manifest: AnyManifest) -> FlowRequest:
        """The request, with numbers of the type of the model's."""
        schema = schema_for(self.schema, manifest)
        lacks_rows = self.array is None and schema.npy_fields == ("x",)
        if lacks_rows and manifest.typed is not None:
            check_has_rows({}, manifest.typed)
        fields = {} if self.array is None else rows_by_field(schema, self.array)
        return with_query(schema, fields, self.query)


def is_true(text: str) -> bool:
    """Whether a field of the query string says yes; of what is no answer the schema says so."""
    try:
        return YES_OR_NO.validate_python(text)
    except ValidationError:
        return False


def target(fields: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The model and the version that the fields of a request name.

    Raises:
        InvalidInputError: they are none.
    """
    named = {key: fields[key] for key in ("model", "version") if key in fields}
    asked = validated(FlowRequest, named, strict=False)
    return asked.model, asked.version


def schema_for(schema: type[FlowRequest], manifest: AnyManifest) -> type[FlowRequest]:
    """The request of the same question as a model takes it."""
    if isinstance(manifest, EnsembleManifest):
        return ENSEMBLE_REQUESTS.get(schema, schema)
    return schema if manifest.dtype == "float32" else TABLE_REQUESTS.get(schema, schema)


def validated(schema: type[R], fields: Mapping[str, Any], *, strict: bool) -> R:
    """A request of these fields.

    Raises:
        InvalidInputError: values that the schema refuses; says each, and of unknown fields some.
    """
    more = 0
    # pydantic takes a microsecond to say which are known
    if len(fields) > MOST_NAMED and len(fields) > len(schema.model_fields) + MOST_NAMED:
        known = schema.model_fields
        # a million unknown fields are not to become a million errors
        unknown = [name for name in fields if name not in known]
        more = len(unknown) - MOST_NAMED
        fields = {k: fields[k] for k in (*known, *unknown[:MOST_NAMED]) if k in fields}
    try:
        return schema.model_validate(fields, strict=strict)
    except ValidationError as error:
        said = [readable(one, schema.model_fields) for one in error.errors()]
        if more > 0:
            said.append(f"{more} more are not known here")
        raise InvalidInputError("; ".join(said)) from None


def _cells(line: str) -> NDArray[Any]:
    """The values of a line of CSV, in which names may hold commas."""
    try:
        # of any length each: in an array of one width a long text would make all of them long
        return np.array(next(csv.reader([line], skipinitialspace=True)) or [""], TEXT)
    except csv.Error as error:
        raise InvalidInputError(f"context: expected a line of CSV: {error}") from None


def with_query(schema: type[R], fields: Mapping[str, Any], query: Mapping[str, str]) -> R:
    """A request whose arrays are in the body and whose other fields are in the query string.

    Raises:
        InvalidInputError: a field that is in both, or values that the schema refuses.
    """
    if not query:
        return validated(schema, fields, strict=False)
    if twice := sorted(query.keys() & fields.keys()):
        raise InvalidInputError(f"{few(twice)}: in the body, and in the URL as well")
    content: dict[str, Any] = {**query, **fields}
    if "context" in query:
        content["context"] = _cells(query["context"])
    return validated(schema, content, strict=False)  # a query string holds only strings


def rows_by_field(schema: type[FlowRequest], rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The one array of a body as the fields of a request: one field, or a stack of two.

    Raises:
        InvalidInputError: it is no stack of as many rows as there are fields.
    """
    names = schema.npy_fields
    if len(names) == 1:
        return {names[0]: rows}
    if rows.ndim == 0 or len(rows) != len(names):
        raise InvalidInputError(
            f"expected {len(names)} × event shape (the rows {', '.join(names)}), got shape "
            f"{rows.shape}"
        )
    return dict(zip(names, rows, strict=True))
