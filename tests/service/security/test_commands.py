"""`bijecta keys`: a key is printed once, and what it allows whenever it is asked for."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from service.security import Keyring
from tests.helpers.pages import ALL_BLOCKS, commands

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIJECTA_KEYS", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


def call(*arguments: str) -> int:
    return main(["keys", *arguments])


def test_a_key_is_printed_once_and_works(file: Path, capsys: Captured) -> None:
    options = ["--scope", "ask,admin", "--models", "moons-maf, wine", "--rows-per-second", "1000"]
    assert call("add", "ci", *options, "--requests-per-second", "2.5", "--days", "30") == 0
    said = capsys.readouterr()
    key = said.out.removesuffix("\n")
    assert "\n" not in key
    assert key not in said.err
    found = Keyring(file).find(f"Bearer {key}".encode()).stored
    assert (found.name, found.scopes, found.models) == (
        "ci",
        ["ask", "admin"],
        ["moons-maf", "wine"],
    )
    assert (found.rows_per_second, found.requests_per_second) == (1000, 2.5)
    assert found.expires is not None
    assert (found.expires - found.created).days == 30
    call("add", "all")
    capsys.readouterr()
    assert call("list") == 0
    head, one, two = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "scopes", "models", "rows/s", "requests/s", "made", "expires"]
    assert one.split()[:5] == ["ci", "ask,admin", "moons-maf,wine", "1000", "2.5"]
    assert two.split()[:5] == ["all", "ask", "all", "any", "any"]
    assert call("list", "--json") == 0
    text = capsys.readouterr().out
    assert [each["name"] for each in json.loads(text)] == ["ci", "all"]
    assert found.sha256 not in text
    assert call("revoke", "ci") == 0
    assert [key.name for key in Keyring(file)._keys.values()] == ["all"]


BAD: dict[str, tuple[list[str], str]] = {
    "a name that is taken": (["add", "ci"], "has a key ci: revoke it, or name another"),
    "a name that is none": (["add", "a b"], "name"),
    "an unknown scope": (["add", "x", "--scope", "root"], "scopes.0: "),
    "no scope": (["add", "x", "--scope", ","], "scopes"),
    "an alias": (["add", "x", "--models", "moons@a"], "names of models"),
    "nobody's": (["revoke", "nobody"], "has no key 'nobody'"),
    "no folder": (["add", "x", "--keys", "none/keys.json"], "No such file or directory"),
    "no file": (["list", "--keys", "none.json"], "No such file or directory"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done_is_one_line(file: Path, capsys: Captured, kind: str) -> None:
    call("add", "ci")
    before = file.read_bytes()
    capsys.readouterr()
    arguments, words = BAD[kind]
    assert call(*arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("bijecta: ")
    assert words in line
    assert file.read_bytes() == before


def test_a_full_disk_is_said_and_the_file_stays(
    file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("add", "ci")
    before = file.read_bytes()
    capsys.readouterr()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert call("add", "other") == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "bijecta: No space left on device\n")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "options",
    [["--rows-per-second", "0"], ["--rows-per-second", "nan"], ["--days", "1e9"], ["--days", "-1"]],
)
def test_numbers_that_are_none_are_refused(options: list[Any], capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        call("add", "x", *options)
    assert "expected a number" in capsys.readouterr().err


def test_the_page_shows_what_the_commands_print(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [b for b in ALL_BLOCKS if b.page == "service/KEYS.md" and b.language == "console"]

    def alike(text: str) -> str:
        return re.sub(r"bijecta_[\w-]{43}", "KEY", re.sub(r"\d{4}-\d\d-\d\d", "DAY", text)).strip()

    for command, printed in commands(block):
        program, *arguments = command.split()
        assert program == "bijecta"
        assert main(arguments) == 0
        assert alike(capsys.readouterr().out) == alike(printed)
