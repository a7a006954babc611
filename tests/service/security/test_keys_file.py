"""What a file of keys may hold, what it never holds, and how it is written."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.security import KeysError, change_keys, digest_of, new_key, read_keys
from service.security.keys_file import MAX_FILE_BYTES
from tests.helpers.api_keys import add_key


def test_a_key_is_256_random_bits_and_its_file_holds_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = {add_key(path, f"k{i}") for i in range(20)}
    text = path.read_text()
    assert len(keys) == 20
    for key in keys:
        assert len(key) == len("bijecta_") + 43
        assert not any(key[i : i + 8] in text for i in range(8, len(key) - 8))
        assert digest_of(key.encode()).hex() in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_keeps_its_rights_and_a_link_its_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "keys.json"
    add_key(real)
    real.chmod(0o644)
    link.symlink_to(real)
    add_key(link, "another")
    assert link.is_symlink()
    assert len(read_keys(real)) == 2
    assert real.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "real.json"]


def test_commands_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=add_key, args=(path, f"k{i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in read_keys(path)} == {f"k{i}" for i in range(8)}


def changed(**change: Any) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        document = json.loads(path.read_text())
        document["keys"][0] |= change
        path.write_text(json.dumps(document))

    return make


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def twice(path: Path) -> None:
    document = json.loads(path.read_text())
    document["keys"] *= 2
    path.write_text(json.dumps(document))


SECRET = new_key()

BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: p.unlink(), r"No such file or directory: `bijecta keys add"),
    "a folder": (lambda p: replaced(p, Path.mkdir), "regular file|Is a directory"),
    "a FIFO": (lambda p: replaced(p, os.mkfifo), "is not a regular file"),
    "empty": (lambda p: p.write_text(""), "is no file of keys"),
    "no JSON": (lambda p: p.write_bytes(b"\xff{"), "is no file of keys"),
    "a list": (lambda p: p.write_text("[]"), "is no file of keys"),
    "of another format": (lambda p: p.write_text('{"format": 2, "keys": []}'), "format: "),
    "large": (lambda p: p.write_bytes(b" " * (MAX_FILE_BYTES + 1)), "has more than"),
    "a key in place of its hash": (changed(sha256=SECRET), r"keys\.0\.sha256: .*got 'something"),
    "an unknown scope": (changed(scopes=["all"]), r"keys\.0\.scopes\.0: .*'ask', 'metrics' or"),
    "no scope": (changed(scopes=[]), "scopes"),
    "an unknown field": (changed(model="moons"), "model is not known here"),
    "a name with a space": (changed(name="a b"), "name"),
    "a name with a line break": (changed(name="a\n"), "name"),
    "a rate of nothing": (changed(rows_per_second=0), "rows_per_second"),
    "a rate that is no number": (changed(rows_per_second="many"), "rows_per_second"),
    "an alias": (changed(models=["moons@stable"]), "names of models, which stand for aliases"),
    "a time of no zone": (changed(expires="2026-01-01T00:00:00"), "expires"),
    "two of a name": (twice, "two keys of the same name"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_makes_no_sense_is_refused_as_a_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keys.json"
    add_key(path)
    make, words = BAD[kind]
    make(path)
    with pytest.raises(KeysError, match=words) as found:
        read_keys(path)
    assert SECRET not in str(found.value)
    assert str(found.value).isprintable()
    if kind != "missing":  # there, it is made
        with pytest.raises(KeysError):
            change_keys(path, lambda keys: keys)
