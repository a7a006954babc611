"""The file that says what a model's names mean: taken whole, or not at all."""

import os
import stat
from pathlib import Path

import pytest

from service import bundle
from service.bundle import NAMES, BundleError, Names, next_version, read_names, write_names
from tests.helpers.tiny import write_tiny_bundle


def test_what_is_written_is_read_and_others_may_read_it(tmp_path: Path) -> None:
    said = Names(aliases={"stable": 2, "a-b_3": 1}, withdrawn=frozenset({3, 11}))
    assert read_names(tmp_path) == Names()
    write_names(tmp_path, said)
    assert read_names(tmp_path) == said
    assert [path.name for path in tmp_path.iterdir()] == [NAMES]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / NAMES).stat().st_mode) == 0o666 & ~mask


def test_a_writer_that_was_ended_leaves_what_was_said_and_stops_no_other(tmp_path: Path) -> None:
    write_names(tmp_path, Names(aliases={"stable": 2}))
    (tmp_path / f".{NAMES}.partial").symlink_to(tmp_path / "elsewhere")
    write_names(tmp_path, Names(aliases={"stable": 3}))
    assert read_names(tmp_path).aliases == {"stable": 3}
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Invalid JSON"),
        ("null", "valid dictionary or instance|should be an object"),
        ("[" * 60_000, "recursion limit"),
        ("{}", "format_version: Field required"),
        ('{"format_version": 2}', "has format_version 2; this program reads 1"),
        ('{"format_version": 1, "more": 1}', "more: Extra inputs"),
        ('{"format_version": 1, "aliases": {"a": "a"}}', r"aliases\.a: .*valid integer"),
        ('{"format_version": 1, "aliases": {"a": 0}}', r"aliases\.a: .*greater than"),
        ('{"format_version": 1, "aliases": {"a": 1.0}}', r"aliases\.a: .*valid integer"),
        ('{"format_version": 1, "aliases": {"a": true}}', r"aliases\.a: .*valid integer"),
        ('{"format_version": 1, "aliases": {"a": 9223372036854775808}}', r"aliases\.a: "),
        ('{"format_version": 1, "aliases": {"A": 1}}', "an alias matches"),
        ('{"format_version": 1, "aliases": {"a/../b": 1}}', "an alias matches"),
        ('{"format_version": 1, "aliases": {"": 1}}', "an alias matches"),
        ('{"format_version": 1, "aliases": {"a\\n": 1}}', "an alias matches"),
        ('{"format_version": 1, "aliases": {"3": 1}}', "neither a number nor latest"),
        ('{"format_version": 1, "aliases": {"latest": 1}}', "neither a number nor latest"),
        ('{"format_version": 1, "withdrawn": [-1]}', r"withdrawn\.0"),
        ('{"format_version": 1}' + " " * 2**16, "may have 65536"),
    ],
)
def test_what_is_no_file_of_names_is_refused_on_one_line(
    tmp_path: Path, content: str, words: str
) -> None:
    folder = tmp_path / "wine"
    folder.mkdir()
    (folder / NAMES).write_text(content)
    with pytest.raises(BundleError, match=words) as refused:
        read_names(folder)
    assert str(refused.value).startswith(f"wine/{NAMES} ")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "a link that leads out", "itself"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "wine"
    folder.mkdir()
    path = folder / NAMES
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "a link that leads out":
            write_names(tmp_path, Names())
            path.symlink_to(tmp_path / NAMES)
        case "itself":
            path.symlink_to(path)
    with pytest.raises(BundleError, match=f"wine/{NAMES} "):
        read_names(folder)


def test_the_next_version_is_above_all_that_are_named(tmp_path: Path) -> None:
    assert next_version(tmp_path / "wine") == 1
    for version in (1, 2):
        write_tiny_bundle(tmp_path, "wine", version)
    assert next_version(tmp_path / "wine") == 3
    write_names(tmp_path / "wine", Names(aliases={"stable": 4}, withdrawn=frozenset({7})))
    assert next_version(tmp_path / "wine") == 8
    (tmp_path / "wine" / NAMES).write_text("damaged")
    assert next_version(tmp_path / "wine") == 3


def test_a_bundle_is_read_under_another_identity_than_its_folder_has(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path, "wine", 3).rename(tmp_path / "somewhere")
    assert bundle.read_identity(path) == ("wine", 3)
    assert bundle.read(path, identity=("wine", 3)).name == "wine"
    for other in (None, ("wine", 2), ("beer", 3)):
        with pytest.raises(BundleError, match="holds the manifest of wine version 3"):
            bundle.read(path, identity=other)
