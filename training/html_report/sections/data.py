"""What the model was trained on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.bundle import ContextColumn, TypedManifest
from service.tables import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    expected,
    to_values,
)
from training.errors import PlotError
from training.html_report.blocks import Block, Facts, Note, Table
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.html_report.words import number, shape
from training.plots import Subject

MOST_COLUMNS, MOST_CLASSES, MOST_POINT_MASSES = 100, 8, 8


def write_data(reported: Reported) -> list[Block]:
    """Source, checksum, rows and columns."""
    columns, left_out = _typed(reported)
    subject = reported.subject
    blocks: list[Block] = [Facts("Source and rows", _source(reported) + _rows(reported))]
    if columns:
        blocks.append(_columns_table(columns))
    elif subject is not None and (names := subject.traits.names):
        blocks.append(Note(f"Columns: {_listed(names, MOST_COLUMNS)}."))
    if context := _context(reported):
        blocks.append(_context_table(context))
    if left_out:
        shown = [[column.name, column.detail] for column in left_out[:MOST_COLUMNS]]
        blocks.append(
            Table(_first("Columns that are left out", left_out), ["Column", "Why"], shown)
        )
    return blocks


def _source(reported: Reported) -> list[tuple[str, str | None]]:
    if reported.trained is not None:
        file = reported.trained.run.file
        data = file.recipe.data
        return [
            ("Source", data.source),
            ("Kind", data.kind),
            ("sha256", file.data_sha256),
            ("Division", _division(data)),
        ]
    if reported.detector is not None:
        of_run = reported.detector.file
        return [("Source", of_run.data_name), ("sha256", of_run.data_sha256)]
    of_bundle = reported.manifest.data
    return [
        ("Source", of_bundle.name),
        ("sha256", of_bundle.sha256),
        ("Noise", f"normal, deviation {of_bundle.noise:g}" if of_bundle.noise else None),
        ("Training rows", "a bundle does not say how many"),
    ]


def _division(data: Any) -> str | None:
    """How rows are divided, of sources that recipes divide."""
    shares = [getattr(data, name, None) for name in ("validation", "test")]
    if not all(isinstance(share, float) for share in shares):
        return None
    validation, test = shares
    return (
        f"{validation:.0%} stop the training, {test:.0%} are held out, by seed "
        f"{getattr(data, 'seed', 0)}"
    )


def _rows(reported: Reported) -> list[tuple[str, str | None]]:
    subject = reported.subject
    if subject is None:
        return []
    traits = subject.traits
    pairs: list[tuple[str, str | None]] = []
    if traits.splits is not None:
        for name, what in (
            ("train", "Rows to train on"),
            ("validation", "Rows to stop the training"),
            ("test", "Rows held out"),
        ):
            pairs.append((what, number(traits.splits[name])))
    elif reported.trained is not None:
        pairs.append(("Rows", _why_none(subject)))
    is_table = len(traits.event_shape) == 1
    sides = traits.event_shape
    pairs.append(("A row is", f"{number(traits.dimensions)} values" if is_table else shape(sides)))
    if traits.low is not None and traits.high is not None:
        pairs.append(("Whole numbers", f"from {number(traits.low)} to {number(traits.high)}"))
    if traits.sound is not None:
        pairs.append(("Sampling rate", f"{number(traits.sound.rate)} Hz"))
    return pairs


def _why_none(subject: Subject) -> str:
    try:
        _ = subject.rows
    except PlotError as error:
        return str(error)
    return ""


def _typed(reported: Reported) -> tuple[Sequence[Column], Sequence[LeftOutColumn]]:
    """The typed columns, and those that are left out."""
    if reported.detector is not None:
        return reported.detector.file.modelled, reported.detector.file.left_out
    if reported.trained is not None:
        columns = getattr(reported.trained.run.file.flow, "columns", None)
        return ([], []) if columns is None else (columns.modelled, columns.left_out)
    manifest = reported.manifest
    if isinstance(manifest, TypedManifest):
        return manifest.named_columns, manifest.left_out
    return [], []


def _context(reported: Reported) -> Sequence[ContextColumn]:
    if reported.subject is not None:
        return reported.subject.traits.context
    if reported.detector is not None:
        return reported.detector.file.context
    return [] if reported.bundle is None else reported.bundle.manifest.context or []


def _columns_table(columns: Sequence[Column]) -> Table:
    head = ["Column", "Kind", "Smallest", "Largest", "A value is"]
    rows = [[c.name, c.kind, *_range(c), _what(c)] for c in columns[:MOST_COLUMNS]]
    return Table(_first("Columns, as they are modelled", columns), head, rows, [2, 3])


def _range(column: Column) -> tuple[str, str]:
    """The smallest and the largest value as the data has them; of classes neither."""
    if isinstance(column, CategoricalColumn):
        return "", ""
    values = to_values(np.array([[column.low], [column.high]]), [column])[column.name]
    low, high = (each if isinstance(each, str) else number(each) for each in values)
    return low, high


def _what(column: Column) -> str:
    if isinstance(column, CategoricalColumn):
        others = ", or another one" * column.other + ", or missing" * column.missing
        return f"one of {len(column.classes)}: {_listed(column.classes, MOST_CLASSES)}{others}"
    masses = [] if isinstance(column, DatetimeColumn) else column.point_masses
    said = expected(column)
    if masses:
        said += f"; often {_listed([number(mass) for mass in masses], MOST_POINT_MASSES)}"
    return said


def _context_table(context: Sequence[ContextColumn]) -> Table:
    rows = []
    for column in context[:MOST_COLUMNS]:
        if column.classes:
            said = f"a class: {_listed(column.labels or column.classes, MOST_CLASSES)}"
        else:
            said = f"a number, mean {column.mean:.4g}, deviation {column.scale:.4g}"
        rows.append([column.name, said])
    return Table(_first("What rows are conditioned on", context), ["Column", "Values"], rows)


def _first(caption: str, all_of_them: Sequence[object]) -> str:
    """A caption that says where a table shows the first alone."""
    n = len(all_of_them)
    return caption if n <= MOST_COLUMNS else f"{caption}: the first {MOST_COLUMNS} of {n}"


def _listed(values: Sequence[object], most: int) -> str:
    return ", ".join(map(str, values[:most])) + f", … ({len(values)} in all)" * (len(values) > most)


DATA = Section("Data", write_data)
