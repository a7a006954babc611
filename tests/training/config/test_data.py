"""The [data] section: which kind of source it is of, and that each kind has its own keys."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from training.config.data import DataSource, data_source, held_out_source, moved
from training.config.sources import SOURCE_KINDS, FileSource, SoundSource
from training.data.protocols import PROTOCOLS
from training.data.readers.registry import FORMATS
from training.data.toy import DENSITIES
from training.errors import RecipeError

# For each kind, a section of it.
SECTIONS: dict[str, dict[str, Any]] = {
    "table": {"source": "rows.csv"},
    "archive": {"source": "rows.npz"},
    "images": {"source": "batch.bin"},
    "sounds": {"source": "spoken.zip", "window": 8},
    "toy": {"source": "moons"},
    "digits": {"source": "digits"},
    "protocol": {"source": "gas.npy", "protocol": "gas"},
}

# For each key, a value that is no default.
VALUES: dict[str, Any] = {
    "key": "X",
    "drop": ["a"],
    "keep": ["c"],
    "kinds": {"d": "lattice"},
    "context": ["b"],
    "labels": "digit",
    "window": 3,
    "whole": True,
    "fade": 2,
    "level": 10.0,
    "shape": [1, 2],
    "integers": "dequantize",
    "header": True,
    "repeated_rows": "apart",
    "noise": 0.5,
    "bounds": (0, 1),
    "rows": 20,
    "augment": True,
    "train_rows": 7,
    "validation": 0.2,
    "test": 0.3,
    "seed": 4,
    "protocol": "gas",
}


def sections() -> list[Any]:
    return [pytest.param(kind, key, id=f"{kind}-{key}") for kind in SECTIONS for key in VALUES]


def test_every_kind_and_key_is_tried() -> None:
    keys = {key for source in SOURCE_KINDS.values() for key in source.model_fields}
    assert SECTIONS.keys() == SOURCE_KINDS.keys()
    assert VALUES.keys() == keys - {"kind", "source"}
    union, *_ = get_args(DataSource)
    assert {get_args(member)[0] for member in get_args(union)} == set(SOURCE_KINDS.values())


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_kind_follows_from_the_source(kind: str) -> None:
    source = data_source(**SECTIONS[kind])
    assert type(source) is SOURCE_KINDS[kind]
    assert source.kind == kind
    assert data_source(**source.model_dump()) == source
    assert type(source).model_validate_json(source.model_dump_json()) == source


@pytest.mark.parametrize(("kind", "key"), sections())
def test_a_key_of_another_kind_is_refused_by_name(kind: str, key: str) -> None:
    # a key by which the kind is told says the kind once more
    section = SECTIONS[kind] | {"kind": kind, key: VALUES[key]}
    if key in SOURCE_KINDS[kind].model_fields:
        assert getattr(data_source(**section), key) == VALUES[key]
        return
    with pytest.raises(ValidationError, match=rf"{key} is a key of sources of kind .*is of kind "):
        data_source(**section)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"source": "rows.csv", "fade": 0},
            "fade is a key of .* sounds; 'rows.csv' is of kind table",
        ),
        ({"source": "rows.csv", "colour": 3}, "colour\n *Extra inputs are not permitted"),
        ({"source": "rows.csv", "kind": "tabel"}, "kind is one of table, archive, .* not 'tabel'"),
        ({"source": "rows.csv", "drop": "a"}, "drop\n *Input should be a valid list"),
        ({"source": "rows.csv", "context": ["a"], "drop": ["a"]}, "name .'a'. more than once"),
        ({"source": "moons", "context": ["y", "y"]}, "name .'y'. more than once"),
        ({"source": "spoken.zip"}, "spoken.zip holds sounds: set window = SAMPLES"),
        ({"source": "moons", "test": "rows.csv"}, "'rows.csv' can be held out beside a file"),
        ({"source": "rows.csv", "kind": "toy"}, "Input should be 'moons'"),
        ({"source": "moons", "validation": 0.6, "test": 0.4}, "must leave rows to train on"),
        ({"protocol": "gas"}, "source\n *Field required"),
    ],
)
def test_wrong_sections_are_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        data_source(**section)


def test_without_a_source_no_folder_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match=r"source\n *Field required"):
        data_source()


def test_folders_are_of_what_they_hold(tmp_path: Path) -> None:
    folder = tmp_path / "release-1.2"
    assert data_source(source=str(folder)).kind == "images"
    assert data_source(source=str(folder), window=4).kind == "sounds"
    (folder / "speaker").mkdir(parents=True)
    assert data_source(source=str(folder)).kind == "images"
    (folder / "speaker" / "a.WAV").touch()
    assert data_source(source=str(folder), window=4).kind == "sounds"
    with pytest.raises(ValidationError, match="set window"):
        data_source(source=str(folder))


def test_a_file_is_of_the_kind_that_its_reader_reads(tmp_path: Path) -> None:
    for known in FORMATS:
        for ending in known.endings:
            keys = {"window": 4} if known.source is SoundSource else {}
            assert type(data_source(source=f"name{ending}", **keys)) is known.source, ending
    assert {known.source for known in FORMATS} == {
        source for source in SOURCE_KINDS.values() if issubclass(source, FileSource)
    }


def test_names_are_those_that_there_is_code_for() -> None:
    toys, protocols = (SOURCE_KINDS[kind].model_fields for kind in ("toy", "protocol"))
    assert set(get_args(toys["source"].annotation)) == DENSITIES.keys()
    assert set(get_args(protocols["protocol"].annotation)) == PROTOCOLS.keys()


def test_held_out_files_may_be_of_another_format() -> None:
    source = data_source(source="rows.npz", key="X", drop=["1"], test="test.npy")
    assert isinstance(source, FileSource)
    held = held_out_source(source, "test.npy")
    assert (held.kind, held.drop, held.source) == ("table", ["1"], "test.npy")
    assert held_out_source(source, "test.npz") is source
    with pytest.raises(ValidationError, match="set window"):
        held_out_source(source, "test.zip")


def test_moved_data_keeps_its_keys(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").touch()
    source = data_source(source="there/rows.npz", key="X", test="there/test.npz")
    in_folder, elsewhere = moved(source, tmp_path), moved(source, tmp_path / "other.npz")
    assert in_folder.source == str(tmp_path / "rows.npz")
    assert in_folder.model_dump()["test"] == str(tmp_path / "test.npz")
    assert elsewhere.source == str(tmp_path / "other.npz")
    for place in (in_folder, elsewhere):
        assert (
            place.model_copy(update={"source": source.source, "test": "there/test.npz"}) == source
        )
    for name in ("moons", "digits"):
        with pytest.raises(RecipeError, match=f"data of '{name}', which is not read from files"):
            moved(data_source(source=name), tmp_path)
