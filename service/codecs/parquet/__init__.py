"""Parquet: a file is measured by its footer and page headers before pyarrow decodes any of it."""

from service.codecs.parquet.codec import ParquetCodec

__all__ = ["ParquetCodec"]
