"""Runs of small detectors of a table of columns of every kind, fitted in a blink."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle import ContextColumn
from service.tables import RawTable, decide, from_array, from_values, to_rows
from training.config import ContextSpec, TableColumns
from training.detectors import (
    CONFIGURATIONS,
    ContextRows,
    DetectorRecipe,
    DetectorRun,
    DetectorRunFile,
    fit_detector,
)
from training.detectors.specification import NearestPart, TypedPart
from training.export import HeldOutScores


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the parts of both configurations small."""
    parts = [
        NearestPart(space="standard", members=2, rows=20, weight=2.0),
        TypedPart(members=2, rows=100, options={"hidden": (4,), "components": 2}, steps=2),
    ]
    for name in CONFIGURATIONS:
        monkeypatch.setitem(CONFIGURATIONS, name, parts)


def small_run(
    folder: Path, context: bool = False, n: int = 60
) -> tuple[DetectorRun, HeldOutScores]:
    """A run, and its training rows with their scores; the context is a label, `a` or `b`."""
    random = np.random.default_rng(0)
    size, colour = random.normal(size=n), random.integers(0, 3, n)
    count = np.round(3 * size + random.normal(size=n))
    count[::7] = np.nan
    days = np.datetime64("2026-01-01", "s") + 86400 * random.integers(0, 99, n)
    raw = RawTable(
        {
            "size": from_array(100 + 20 * size),
            "count": from_array(count),
            "when": from_array(days),
            "colour": from_values([["red", "green", "blue"][i] for i in colour]),
        },
        n,
    )
    columns = list(decide(raw).columns)
    rows = to_rows(raw.columns, columns).rows
    known = None
    label = ContextColumn(name="branch", classes=[0, 1], labels=["a", "b"])
    if context:
        spec = ContextSpec.model_validate({"columns": [{"classes": [0, 1]}]})
        known = ContextRows((np.arange(n) % 2)[:, None].astype(np.float32), spec)
    fitted = fit_detector(rows, columns, known)
    file = DetectorRunFile(
        name="small",
        recipe=DetectorRecipe(source={}, labels=None, configuration="clean", seed=0),
        data_name="small.csv",
        data_sha256="0" * 64,
        columns=TableColumns(modelled=columns, left_out=[]),
        context=[label] if context else [],
        spec=fitted.detector.spec,
    )
    run = DetectorRun.create(folder, file, fitted)
    return run, HeldOutScores(rows, known, fitted.out_of_sample, fitted.log_prob)
