"""What `bijecta inspect` prints and writes."""

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from service.tables import Overrides
from training.config import ArchiveSource, FileSource, TableSource, data_source
from training.errors import DataError
from training.files import write_atomically
from training.inspection.report import ColumnReport, Inspection, inspect_table

HEADINGS = ("column", "kind", "missing", "distinct", "commonest", "share", "range", "")
RIGHT = (2, 3, 5)
"""Columns of numbers, which are aligned to the right."""

TABULAR = '[flow]\nfamily = "tabular"\n'
"""The section of a recipe that models a table, with the defaults of the family."""

# Characters of a column's name.
NAME_CHARACTERS = 32


class LookedAt(NamedTuple):
    """What is found in the table of a command, how it is read, and what the user says of it."""

    found: Inspection
    source: FileSource
    overrides: Overrides


def inspect(arguments: Namespace) -> None:
    """Print what a table holds, and write a recipe for it if asked to.

    Raises:
        DataError: it cannot be read, or the options name no column of it, or no kind.
    """
    table = look_at_table(arguments)
    found = table.found
    print(as_json(found) if arguments.json else "\n".join(as_text(found)))
    if arguments.recipe is not None:
        recipe = recipe_of(table, arguments.recipe)
        write_atomically(arguments.recipe, recipe.encode())
        if not arguments.json:
            print(f"\n{arguments.recipe}: a recipe for this table")


def look_at_table(arguments: Namespace) -> LookedAt:
    """Read the table of a command and decide on its columns.

    Raises:
        DataError: it cannot be read, or the options name no column of it, or no kind.
    """
    source, overrides = source_of(arguments), overrides_of(arguments)
    return LookedAt(inspect_table(arguments.table, source, overrides), source, overrides)


def source_of(arguments: Namespace) -> FileSource:
    """How the table of a command is read.

    Raises:
        DataError: it is no table, or an option is for files of another kind.
    """
    source = file_source_of(arguments)
    if not isinstance(source, TableSource | ArchiveSource):
        raise DataError(f"{arguments.table} is of kind {source.kind}: expected a table")
    return source


def file_source_of(arguments: Namespace, **others: Any) -> FileSource:
    """How the file of a command is read.

    Args:
        arguments: of the command.
        others: keys of [data] beside those of all commands; None where they are not given.

    Raises:
        DataError: there is no such file, or an option is for files of another kind.
    """
    keys = {"key": arguments.key, "header": {"true": True, "false": False}.get(arguments.header)}
    given = {key: value for key, value in (keys | others).items() if value is not None}
    if not arguments.table.exists():
        raise DataError(f"no data file at {arguments.table}")
    try:
        source = data_source(source=str(arguments.table), **given)
    except ValidationError as error:
        said = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        raise DataError(f"{arguments.table}: {said}") from None
    assert isinstance(source, FileSource)
    return source


def overrides_of(arguments: Namespace) -> Overrides:
    """What the options of a command say of columns.

    Raises:
        DataError: `--kind` without a kind.
    """
    kinds = {}
    for each in arguments.kind:
        name, equals, kind = each.rpartition("=")
        if not equals or not name:
            raise DataError(f"--kind {each}: expected COLUMN=KIND")
        kinds[name] = kind
    return Overrides(arguments.keep, arguments.drop, kinds)


def as_text(found: Inspection) -> Iterator[str]:
    """Lines for people: one for each column, then the warnings."""
    yield f"{found.path.name}: {found.rows} rows, {len(found.columns)} columns"
    yield ""
    cells = [HEADINGS, *(_cells(column) for column in found.columns)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADINGS))]
    for row in cells:
        aligned = [
            text.rjust(width) if i in RIGHT else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(aligned).rstrip()
    if found.warnings:
        yield ""
        yield from found.warnings


def _cells(column: ColumnReport) -> tuple[str, ...]:
    name = column.name
    span = column.low if column.low == column.high else f"{column.low} … {column.high}"
    return (
        name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…",
        column.kind or "-",
        str(column.missing),
        str(column.distinct),
        column.commonest,
        f"{100 * column.share:.3g} %",
        span,
        column.what,
    )


def as_json(found: Inspection) -> str:
    """The same for programs; a column that is modelled as a manifest has it."""
    columns = [
        asdict(each) | {"column": None if each.column is None else each.column.model_dump()}
        for each in found.columns
    ]
    content = {
        "table": str(found.path),
        "rows": found.rows,
        "columns": columns,
        "warnings": list(found.warnings),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def recipe_of(table: LookedAt, path: Path, model: str = TABULAR) -> str:
    """A recipe that models the table as it was found.

    What `decide` finds in the table again is not written; columns that cannot be modelled are
    dropped.

    Args:
        table: as it was found.
        path: of the recipe, from whose folder the table is named.
        model: the sections after [data].
    """
    found, source, overrides = table
    file = os.path.relpath(found.path.resolve(), path.resolve().parent)
    lines = ["[data]", f"source = {_quoted(file)}"]
    lines += [
        f"{key} = {json.dumps(getattr(source, key), ensure_ascii=False)}"
        for key in ("key", "header")
        if key in source.model_fields_set
    ]
    known = found.decision.understood.keys() | {c.name for c in found.decision.left_out}
    faulty = [column.name for column in found.columns if column.name not in known]
    if faulty:
        lines += [f"# {problem}" for problem in found.decision.problems]
    for name, listed in (("drop", [*overrides.drop, *faulty]), ("keep", overrides.keep)):
        if listed:
            lines.append(f"{name} = [{', '.join(map(_quoted, listed))}]")
    kinds = {**found.decision.pinned, **overrides.kinds}
    if kinds:
        pairs = ", ".join(f"{_quoted(name)} = {_quoted(kind)}" for name, kind in kinds.items())
        lines.append(f"kinds = {{ {pairs} }}")
    return "\n".join([*lines, "", model])


def _quoted(text: str) -> str:
    """A string of TOML, whose escapes JSON has too."""
    return json.dumps(text, ensure_ascii=False)
