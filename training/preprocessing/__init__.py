"""Fixed first layers of flows, fitted to the training rows.

A folder of its own beside `training.data`, since it needs torch: reading and checking a table
does not, and takes a second without the import.
"""

from training.preprocessing.columns import Float64, fit_columns
from training.preprocessing.fits import (
    FITS,
    context_fields,
    flow_spec,
    per_coordinate,
    preprocessing,
)
from training.preprocessing.marginals import normal_marginals, steepest
from training.preprocessing.tabular import fit_to_columns

__all__ = [
    "FITS",
    "Float64",
    "context_fields",
    "fit_columns",
    "fit_to_columns",
    "flow_spec",
    "normal_marginals",
    "per_coordinate",
    "preprocessing",
    "steepest",
]
