"""The [data] section of a recipe: which kind of source it is of.

Each kind has its own keys; a key of another kind is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, TypeAdapter

from training.config.plain import shown
from training.config.sources import (
    SOURCE_KINDS,
    TOY_DENSITIES,
    ArchiveSource,
    DigitsSource,
    FileSource,
    ImageSource,
    ProtocolSource,
    RowSource,
    SoundSource,
    TableSource,
    ToySource,
)
from training.errors import RecipeError

FILES = ("source", "validation", "test")
"""The keys that can name a file."""

# Other files, those of a suffix that is not here, are tables.
KINDS_BY_ENDING = {
    ".npz": "archive",
    ".bin": "images",
    ".mat": "images",
    ".zip": "sounds",
    "-ubyte": "table",  # the published names of IDX files have no suffix
}


def kind_of(keys: Any) -> str | None:
    """Which of `SOURCE_KINDS` a [data] section is of: by its `kind`, or by its protocol or source.

    A folder is a table if it holds Parquet files, and of sounds if it holds `.wav` files. If it
    does not exist, its keys decide.
    """
    if isinstance(keys, RowSource):
        return keys.kind
    if not isinstance(keys, Mapping):
        return None
    if keys.get("kind") is not None:
        return str(keys["kind"])
    if keys.get("protocol") is not None:
        return "protocol"
    source = keys.get("source")
    if source in TOY_DENSITIES:
        return "toy"
    if source == "digits":
        return "digits"
    by_its_keys = "sounds" if keys.get("window") is not None else "images"
    return _kind_of_path(Path(source), by_its_keys) if isinstance(source, str) else by_its_keys


def _kind_of_path(path: Path, kind_of_missing_folder: str) -> str:
    if path.is_dir():
        endings = {file.suffix.lower() for file in path.rglob("*")}
        return "table" if ".parquet" in endings else "sounds" if ".wav" in endings else "images"
    for ending, kind in KINDS_BY_ENDING.items():
        if path.name.lower().endswith(ending):
            return kind
    # a version number at the end of a folder's name is no suffix
    if path.suffix and not path.suffix[1:].isdigit():
        return "table"
    return kind_of_missing_folder


def _with_its_kind(keys: Any) -> Any:
    """The keys of a section and its kind; those of other kinds are refused by name."""
    try:
        kind = kind_of(keys)
    except OSError as error:  # a name that is too long, or a folder that is not to be read
        raise ValueError(f"source: {error.strerror}: {shown(error.filename)}") from None
    if not isinstance(keys, Mapping):
        if isinstance(keys, RowSource):
            return keys
        raise ValueError(f"expected a section of keys, got {shown(keys)}")
    if kind not in SOURCE_KINDS:
        raise ValueError(f"kind is one of {', '.join(SOURCE_KINDS)}, not {shown(keys['kind'])}")
    for key in sorted(keys.keys() - SOURCE_KINDS[kind].model_fields.keys()):
        if kinds := [name for name, source in SOURCE_KINDS.items() if key in source.model_fields]:
            name = keys.get("protocol") if kind == "protocol" else keys.get("source")
            raise ValueError(
                f"{key} is a key of sources of kind {', '.join(kinds)}; {shown(name)} is of kind "
                f"{kind}"
            )
    return {**keys, "kind": kind}


DataSource = Annotated[
    Annotated[TableSource, Tag("table")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[ImageSource, Tag("images")]
    | Annotated[SoundSource, Tag("sounds")]
    | Annotated[ToySource, Tag("toy")]
    | Annotated[DigitsSource, Tag("digits")]
    | Annotated[ProtocolSource, Tag("protocol")],
    Discriminator(kind_of),
    BeforeValidator(_with_its_kind),
]
"""A [data] section of any kind."""

_DATA_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)


def data_source(**keys: Any) -> DataSource:
    """Validate a [data] section.

    Raises:
        pydantic.ValidationError: a key that is unknown or of another kind, or a wrong value.
    """
    return _DATA_SOURCE.validate_python(keys)


def held_out_source(source: FileSource, path: str) -> FileSource:
    """How to read a file that is held out: as the source, or by the same keys in its own format.

    Raises:
        pydantic.ValidationError: its format needs a key that the source lacks.
    """
    kind = kind_of({"source": path})
    if kind == source.kind or kind not in SOURCE_KINDS:
        return source
    shared = source.model_dump(include=set(SOURCE_KINDS[kind].model_fields))
    held = SOURCE_KINDS[kind].model_validate(shared | {"kind": kind, "source": path})
    assert isinstance(held, FileSource)
    return held


def moved_files(keys: Mapping[str, Any], data: Path) -> dict[str, str]:
    """The keys of `FILES` that change if the data is in another place.

    Args:
        keys: a [data] section, complete or not.
        data: a folder that holds files of the same names; or what replaces the source.
    """
    data = data.resolve()
    source = keys.get("source")
    if not isinstance(source, str) or not (data / Path(source).name).exists():
        return {"source": str(data)}
    names = {key: keys.get(key) for key in FILES}
    return {key: str(data / Path(n).name) for key, n in names.items() if isinstance(n, str)}


def moved(source: DataSource, data: Path) -> DataSource:
    """The same data in another place; see `moved_files`.

    Raises:
        RecipeError: the rows are not from files.
    """
    if isinstance(source, ToySource | DigitsSource):
        raise RecipeError(
            f"{data} is not the data of {source.source!r}, which is not read from files: leave "
            "--data out"
        )
    return source.model_copy(update=moved_files(source.model_dump(), data))
