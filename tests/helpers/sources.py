"""Files read as a [data] section asks."""

from pathlib import Path

from training.config.data import data_source
from training.config.sources import FileSource
from training.data.readers import Table
from training.data.readers import read as read_source


def read(path: Path, **keys: object) -> Table:
    """The table of a file, by the keys of [data] beside its source."""
    source = data_source(source=str(path), **keys)
    assert isinstance(source, FileSource)
    return read_source(path, source)
