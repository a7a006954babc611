"""Types of arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
"""Arrays by name, each with the same number of rows."""
