"""Where real data sets lie, for what tests and benchmarks do with them if they are there."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("BIJECTA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
