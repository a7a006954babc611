"""`bijecta store`: what it prints, what it changes, and what it refuses."""

import errno
import fcntl
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service import bundle
from service.bundle import NAMES, Names, write_names
from service.cli import main
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader, loader, trial
from service.store_folder import Keep, edits, folder_lock, removable, remove
from tests.helpers.pages import ALL_BLOCKS, commands
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle

NAME = "wine"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of two models, one of them in four versions."""
    for version in (1, 2, 3, 4):
        write_tiny_bundle(tmp_path, NAME, version)
    write_tiny_bundle(tmp_path, "beer")
    return tmp_path


class Commands:
    """`bijecta store` on a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments: str) -> str:
        """What a command prints, which ends well."""
        assert main(["store", *arguments, "--store", str(self.folder)]) == 0
        return self.capsys.readouterr().out

    def refused(self, *arguments: str) -> str:
        """The one line that a command is refused with."""
        assert main(["store", *arguments, "--store", str(self.folder)]) == 1
        (line,) = self.capsys.readouterr().err.splitlines()
        assert line.startswith("bijecta: ")
        return line.removeprefix("bijecta: ")

    def versions(self, name: str = NAME) -> list[int]:
        return bundle.versions(self.folder / name)


@pytest.fixture
def store(folder: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(folder, capsys)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_list_has_figures_names_and_what_is_broken(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"log_prob": -12.34567, "se": 0.25, "rows": 90, "noise_copies": 1}
    held_out = figures | {"bits_per_dim": 1.5, "bits_per_dim_se": 0.1}
    edit(folder / NAME / "2", held_out=held_out)
    (folder / NAME / "4" / "decode.onnx").write_bytes(b"damaged\n")
    store("rollback", NAME, "--to", "2")
    store("alias", f"{NAME}@stable", "1")
    (folder / "Not a name").mkdir()
    before = content(folder)
    lines = [line.split() for line in store("list").splitlines()]
    assert [line[:2] for line in lines[1:]] == [
        ["beer", "1"],
        *([NAME, str(v)] for v in (4, 3, 2, 1)),
    ]
    two = lines[4]
    assert two[2:7] == ["-12.3457", "±", "0.2500", "1.5000", "maf"]
    assert [line[-1] for line in lines] == [
        "written",
        "current",
        lines[2][-1],
        "withdrawn",
        "current",
        "@stable",
    ]
    assert "withdrawn, broken: wine/4/decode.onnx is altered" in " ".join(lines[2])
    said = json.loads(store("list", "--json", NAME))
    (model,) = said["models"]
    assert (model["name"], model["aliases"], model["problem"]) == (NAME, {"stable": 1}, None)
    assert said["skipped"].keys() == {"Not a name"}
    by_version = {v["version"]: v for v in model["versions"]}
    assert by_version[2]["held_out"] == held_out
    assert [v for v, one in by_version.items() if one["current"]] == [2]
    assert [v for v, one in by_version.items() if one["withdrawn"]] == [4, 3]
    assert "is altered" in by_version[4]["problem"]
    assert by_version[1]["aliases"] == ["stable"]
    assert by_version[1]["bytes"] == sum(map(len, content(folder / NAME / "1").values()))
    assert content(folder) == before


def test_a_list_has_the_gain_of_tables(store: Commands, folder: Path) -> None:
    figures = {"log_prob": -32.95, "se": 0.2, "rows": 300}
    gain = {"independent": {"mean": -34.4, "se": 0.3}, "gain": {"mean": 1.4821, "se": 0.0412}}
    edit(write_typed_bundle(folder, "payments"), held_out=figures | gain)
    heading, *lines = store("list", "payments", "beer").splitlines()
    (line,) = [line for line in lines if line.startswith("payments")]
    place = heading.index("gain (nats)")
    assert line[place : place + 15] == "1.482 ± 0.041  "
    assert "-32.9500 ± 0.2000" in line
    (beer,) = [line for line in lines if line.startswith("beer")]
    assert beer[place : place + 15].strip() == ""
    assert beer.index("maf") == line.index("tabular") == heading.index("family")


def test_a_list_without_known_names_says_so(
    store: Commands, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(folder / NAME / NAMES)
    assert main(["store", "list", "--store", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.count("current") == 1  # of beer
    assert f"wine/{NAMES} is not a regular file" in err
    (_, model) = json.loads(store("list", "--json"))["models"]
    assert "is not a regular file" in model["problem"]
    for change in (["rollback", NAME], ["alias", f"{NAME}@a"], ["prune", NAME, "--yes"]):
        assert "is not a regular file" in store.refused(*change)


def test_a_bad_export_is_taken_back_and_given_again(store: Commands) -> None:
    assert "wine means version 3 now, and meant version 4" in store("rollback", NAME)
    assert "wine means version 2 now, and meant version 3" in store("rollback", NAME)
    assert "wine means version 3 now" in store("rollback", NAME, "--to", "3")
    assert "wine means version 3, as before" in store("rollback", NAME, "--to", "3")
    assert "wine means version 1 now" in store("rollback", NAME, "--to", "1")
    assert "wine means version 3 now" in store("rollback", NAME, "--to", "3")
    assert "wine means version 1 now" in store("rollback", NAME)  # 2 was taken back
    assert "wine means version 4 now" in store("rollback", NAME, "--to", "latest")
    assert store.versions() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["rollback", "nope"], "there is no model 'nope' in"),
        (["rollback", "../wine"], "there is no model '../wine' in"),
        (["rollback", "beer"], "beer has no whole version before 1"),
        (["rollback", NAME, "--to", "9"], "wine has no version 9: there are 4, 3, 2, 1"),
        (["rollback", NAME, "--to", "4"], "wine/4/decode.onnx is altered"),
        (["alias", NAME], "expected NAME@ALIAS, got 'wine'"),
        (["alias", f"{NAME}@Stable"], "an alias matches"),
        (["alias", f"{NAME}@a/b"], "an alias matches"),
        (["alias", f"{NAME}@3"], "an alias is neither a number nor latest"),
        (["alias", f"{NAME}@latest"], "an alias is neither a number nor latest"),
        (["alias", f"{NAME}@a", "9"], "wine has no version 9"),
        (["alias", f"{NAME}@a", "4"], "wine/4/decode.onnx is altered"),
        (["alias", f"{NAME}@a", "--remove"], "wine has no alias 'a': it has none"),
        (["alias", f"{NAME}@a", "4", "--remove"], "a version is of no use"),
        (["alias", "nope@a"], "there is no model 'nope' in"),
        (["prune", "nope"], "there is no model 'nope' in"),
        (["list", "nope"], "there is no model 'nope' in"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line_and_changes_nothing(
    store: Commands, folder: Path, command: list[str], words: str
) -> None:
    (folder / NAME / "4" / "decode.onnx").write_bytes(b"damaged")
    before = content(folder)
    assert words in store.refused(*command)
    assert content(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [["prune", "--keep", "0"], ["prune", "--keep-days", "-1"], ["prune", "--keep-days", "nan"],
     ["rollback", NAME, "--to", "0"], ["rollback", NAME, "--to", "9" * 5000], ["nope"]],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["store", *arguments])


def test_no_store_and_one_bundle_are_no_folder_of_bundles(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, words in {
        folder / "none": "there is no store at the path given",
        folder / NAME / "4": "is one bundle; expected the folder of a store",
        folder / ("x" * 300): "the store cannot be read: File name too long",
        folder / NAME: "is the folder of one model; expected the one above it",
    }.items():
        assert "".join(Commands(path, capsys).refused("list")).startswith(f"{path}")
        assert words in Commands(path, capsys).refused("list")


def test_nothing_is_removed_without_a_yes(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(folder)
    assert store.refused("prune", "--keep", "2") == "nothing was removed; --yes removes these"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    store.refused("prune", "--keep", "2")
    assert content(folder) == before
    monkeypatch.setattr("builtins.input", lambda _: "y")
    printed = store("prune", "--keep", "2")
    assert [line.split()[0] for line in printed.splitlines()] == ["wine/1", "wine/2", "removed"]
    assert store.versions() == [3, 4]
    assert store("prune", "--keep", "2", "--yes") == "there is no version to remove\n"


def test_what_is_named_current_or_young_stays(store: Commands, folder: Path) -> None:
    store("alias", f"{NAME}@stable", "1")
    store("rollback", NAME, "--to", "2")
    store("prune", "--keep", "1", "--yes")
    assert store.versions() == [1, 2, 4]
    store("alias", f"{NAME}@stable", "--remove")
    store("prune", "--keep", "1", "--keep-days", "1", "--yes")
    assert store.versions() == [1, 2, 4]
    old = time.time() - 2 * 86_400
    os.utime(folder / NAME / "1" / "manifest.json", (old, old))
    store("prune", "--keep", "1", "--keep-days", "1", "--yes")
    assert store.versions() == [2, 4]
    assert bundle.read_names(folder / NAME).withdrawn == {4}


def test_what_a_server_is_loading_is_not_removed(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []

    def prune_meanwhile(*arguments: Any) -> None:
        refusals.append(store.refused("prune", NAME, "--keep", "3", "--yes"))
        trial.try_graphs(*arguments)

    monkeypatch.setattr(loader, "try_graphs", prune_meanwhile)
    loading = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
    loading.load(folder / NAME / "1", Cancellation()).engine.close()
    assert refusals == ["wine/1 was not removed: a server is loading it"]
    assert store.versions() == [1, 2, 3, 4]
    store("prune", NAME, "--keep", "3", "--yes")
    assert store.versions() == [2, 3, 4]


def test_what_has_come_to_be_named_meanwhile_stays(folder: Path) -> None:
    keep = Keep(1, 0)
    chosen = removable(folder / NAME, keep)
    assert chosen == [1, 2, 3]
    edits.set_alias(folder, NAME, "stable", 2)
    removed = list(remove(folder / NAME, chosen, keep))
    assert [r.version for r in removed if r.reason == "it has come to be kept"] == [2]
    assert bundle.versions(folder / NAME) == [2, 4]


def test_links_and_leftovers_go_and_what_links_lead_to_stays(
    store: Commands, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away") / "1"
    (folder / NAME / "1").rename(away)
    (folder / NAME / "1").symlink_to(away)
    shutil.copytree(away, folder / NAME / ".pruned-9-00000000")
    store("prune", NAME, "--keep", "3", "--yes")
    assert {path.name for path in (folder / NAME).iterdir()} == {"2", "3", "4"}
    assert (away / "manifest.json").exists()


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open_(path, flags, *more, **options)

    def fixed(path: Path, *_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    open_ = os.open
    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(Path, "rename", fixed)
    assert "current" in store("list")
    for command in (["rollback", NAME], ["alias", f"{NAME}@a"], ["prune", "--keep", "1", "--yes"]):
        assert store.refused(*command).endswith(": Read-only file system")


def test_a_full_disk_is_said_and_names_stay(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store("alias", f"{NAME}@a", "2")
    monkeypatch.setattr(os, "fsync", full)
    assert store.refused("alias", f"{NAME}@a", "3") == "No space left on device"
    assert bundle.read_names(folder / NAME).aliases == {"a": 2}


def test_commands_wait_for_each_other_but_not_for_ever(
    store: Commands, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "WAIT_SECONDS", 0.1)
    other = os.open(folder / NAME, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "wine is being changed by another `bijecta store`" in store.refused("rollback", NAME)
    finally:
        os.close(other)
    store("rollback", NAME)


def test_where_no_lock_can_be_had_all_is_done_without(
    store: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    store("rollback", NAME)
    store("prune", NAME, "--keep", "1", "--yes")
    assert store.versions() == [3, 4]


def test_the_variable_of_the_server_names_the_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIJECTA_STORE", str(folder))
    write_names(folder / NAME, Names(aliases={"stable": 2}))
    assert main(["store", "list", NAME]) == 0
    assert "@stable" in capsys.readouterr().out


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = [b for b in ALL_BLOCKS if "$ bijecta store rollback" in b.text]
    figures = {1: (-20.945, 0.8911), 2: (-20.3127, 0.8846), 3: (-21.4031, 0.912)}
    for version, (log_prob, se) in figures.items():
        path = write_tiny_bundle(tmp_path, NAME, version)
        held_out = {"log_prob": log_prob, "se": se, "rows": 54, "noise_copies": 1}
        edit(path, held_out=held_out | {"bits_per_dim": None, "bits_per_dim_se": None})
    monkeypatch.setenv("BIJECTA_STORE", str(tmp_path))

    def shown(text: str) -> list[str]:
        """Lines without what differs from day to day, and between lengths of paths."""
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|[\d.]+ kB", "#", text).split("\n")

    for command, printed in commands(block):
        assert main(command.split()[1:]) == 0
        assert shown(capsys.readouterr().out.strip()) == shown(printed), command
