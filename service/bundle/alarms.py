"""From which levels on the rows of a calibration let an alarm be raised, in words."""

from typing import NamedTuple

import numpy as np

from service.bundle.manifests.part import ContextColumn
from service.conformal import Calibration

# Levels at which alarms are raised as a rule. `bijecta calibrate` writes no calibration by which
# none of the first can be raised; one that cannot reach the second is warned of.
USUAL_LEVELS = (0.05, 0.01, 0.001)


class AlarmLevel(NamedTuple):
    """The smallest p-value that a row can have among some calibration rows.

    Args:
        rows: which and how many these are.
        least: that p-value; 1 where there are no such rows.
    """

    rows: str
    least: float

    @property
    def said(self) -> str:
        """A line of it, with the usual levels that are out of reach."""
        out_of_reach = [f"{100 * level:g} %" for level in USUAL_LEVELS if level < self.least]
        said = f"{self.rows}, the smallest p-value is {self.least:.2g}"
        return said + f": no alarm at {', '.join(out_of_reach)}" * bool(out_of_reach)

    @property
    def warning(self) -> str | None:
        """What is to be warned of; None where the second of the usual levels is within reach."""
        usual = USUAL_LEVELS[1]
        if self.least <= usual:
            return None
        reached = f"an alpha from {self.least:.2g} on can be reached"
        return (
            f"{self.rows}: {reached if self.least < 1 else 'none can be reached'}; {usual:g} needs "
            f"{rows_for(usual)} rows that can occur"
        )


def alarm_levels(calibration: Calibration, label: ContextColumn | None) -> list[AlarmLevel]:
    """The level of all rows; where rows are compared within the classes of a label, of each class.

    Args:
        calibration: of a detector.
        label: of its context; None where all rows are compared.
    """
    if label is None:
        (least,) = calibration.p_values(np.array([np.inf])).tolist()
        return [AlarmLevel(f"{calibration.rows} rows", least)]
    codes = label.classes or []
    largest = np.full(len(codes), np.inf)
    p_values = calibration.p_values(largest, None, np.array(codes, np.float64)).tolist()
    return [
        AlarmLevel(f"{label.name} {name!r}: {calibration.rows_of(code)} rows", least)
        for name, code, least in zip(label.labels or codes, codes, p_values, strict=True)
    ]


def rows_for(level: float) -> int:
    """How many rows have a smallest p-value of so much: 1 / (rows + 1)."""
    return round(1 / level) - 1
