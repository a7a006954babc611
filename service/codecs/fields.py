"""How the fields of a request come together, from its body and the query string."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.bundle import AnyManifest
from service.errors import MOST_NAMED, InvalidInputError, few, readable
from service.operations import FlowRequest, context_alone, rows_and_context
from service.types import Arrays

TEXT = np.dtypes.StringDType()
"""Of texts of any length each."""

R = TypeVar("R", bound=FlowRequest)


@dataclass(frozen=True)
class TableRequest(Generic[R]):
    """A request whose rows are named columns, which only the model that it names puts in order.

    Args:
        schema: of the request.
        table: columns by name.
        query: the other fields.
        model, version: which model is asked.
    """

    schema: type[R]
    table: Arrays
    query: Mapping[str, str]
    model: str | None
    version: int | None

    @classmethod
    def of(cls, schema: type[R], table: Arrays, query: Mapping[str, str]) -> "TableRequest[R]":
        """A request of a table and a query string.

        Raises:
            InvalidInputError: a model or version that is none.
        """
        named = {key: query[key] for key in ("model", "version") if key in query}
        target = validated(FlowRequest, named, strict=False)
        return cls(schema, table, query, target.model, target.version)

    def resolved(self, manifest: AnyManifest) -> R:
        """The request, with the columns in the order of the model's.

        Raises:
            InvalidInputError: columns that are not the model's, or values that the schema refuses.
        """
        names = self.schema.npy_fields
        if names == ("context",):
            fields = {"context": context_alone(self.table, manifest)}
            return with_query(self.schema, fields, self.query)
        rows, context = rows_and_context(self.table, manifest, "x" if len(names) > 1 else names[0])
        fields = rows_by_field(self.schema, rows)
        if context is not None:
            fields["context"] = context
        return with_query(self.schema, fields, self.query)


def validated(schema: type[R], fields: Mapping[str, Any], *, strict: bool) -> R:
    """A request of these fields.

    Raises:
        InvalidInputError: values that the schema refuses; says each, and of unknown fields some.
    """
    known = schema.model_fields
    more = 0
    if len(fields) > len(known) + MOST_NAMED:
        # a million unknown fields are not to become a million errors
        unknown = [name for name in fields if name not in known]
        more = len(unknown) - MOST_NAMED
        fields = {k: fields[k] for k in (*known, *unknown[:MOST_NAMED]) if k in fields}
    try:
        return schema.model_validate(fields, strict=strict)
    except ValidationError as error:
        said = [readable(one, known) for one in error.errors()]
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
