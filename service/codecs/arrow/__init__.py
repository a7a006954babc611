"""Arrow: tables are measured by their metadata before pyarrow sees them."""

from service.codecs.arrow import typed
from service.codecs.arrow.codec import ArrowCodec, schema_remarks
from service.codecs.arrow.columns import columns_of
from service.codecs.arrow.table import HAS_PYARROW, NO_PYARROW, pyarrow

__all__ = [
    "HAS_PYARROW",
    "NO_PYARROW",
    "ArrowCodec",
    "columns_of",
    "pyarrow",
    "schema_remarks",
    "typed",
]
