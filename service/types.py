"""Types of arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
"""Of float32 or float64, as a model's graphs take them."""
Whole = NDArray[np.int64]
"""Of whole numbers, such as those of the members of an ensemble."""
Arrays = dict[str, NDArray[Any]]
"""Arrays by name, each with the same number of rows."""
