"""The watch over one model by several workers."""

import math
from typing import Any

import numpy as np
import pytest

from service.watching import of_all_streams


def said(*logs: float, rows: int = 10, alarm: str | None = None) -> dict[str, Any]:
    """What a watch of one of two workers says, its martingales divided by two."""
    changes: list[dict[str, Any]] = [
        {"of": "column", "column": str(place), "values": "larger", "log_martingale": log}
        for place, log in enumerate(logs)
    ]
    changes.sort(key=lambda change: -change["log_martingale"])
    return {
        "model": "wine",
        "version": 1,
        "begun": f"2026-01-0{rows % 9 + 1}",
        "rows": rows,
        "unknown_rows": 1,
        "waiting_rows": 2,
        "threshold": 100.0,
        "log_threshold": math.log(100),
        "log_martingale": changes[0]["log_martingale"],
        "largest_log_martingale": changes[0]["log_martingale"],
        "alarm": None if alarm is None else {"time": alarm},
        "martingales": changes,
    }


def test_the_martingale_of_all_is_the_mean_of_theirs() -> None:
    rng = np.random.default_rng(1)
    martingales = rng.lognormal(0, 3, (2, 4))
    found = of_all_streams([said(*np.log(each / 2)) for each in martingales])
    mean = martingales.mean(axis=0)
    assert found["log_martingale"] == pytest.approx(math.log(mean.max()))
    by_column = {one["column"]: one["log_martingale"] for one in found["martingales"]}
    assert by_column == pytest.approx({str(k): math.log(m) for k, m in enumerate(mean)})
    assert [one["log_martingale"] for one in found["martingales"]] == sorted(
        by_column.values(), reverse=True
    )


def test_rows_are_added_and_the_first_alarm_is_that_of_all() -> None:
    found = of_all_streams([said(0.0, rows=3), said(1.0, rows=5, alarm="b"), said(2.0, alarm="a")])
    assert (found["rows"], found["unknown_rows"], found["waiting_rows"]) == (18, 3, 6)
    assert found["alarm"] == {"time": "a"}
    assert found["begun"] == "2026-01-02"
    assert of_all_streams([said(-math.inf), said(-math.inf)])["log_martingale"] == -math.inf


def test_one_description_is_as_it_is() -> None:
    assert of_all_streams([said(1.0, 2.0)]) == said(1.0, 2.0)
