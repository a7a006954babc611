"""Arrow: tables are measured by their metadata before pyarrow sees them."""

from service.codecs.arrow.codec import ArrowCodec

__all__ = ["ArrowCodec"]
