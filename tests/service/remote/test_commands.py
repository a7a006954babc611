"""`bijecta store push` and `list` of stores elsewhere, and what is refused of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.bundle import MANIFEST, NAMES, Names, read_names, write_names
from service.cli import main
from service.remote import index_of
from service.remote.files import RemoteFiles
from tests.helpers.stores import NAME, add_version
from tests.helpers.tiny import write_tiny_bundle


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that is pushed."""
    folder = tmp_path / "near"
    write_tiny_bundle(folder, NAME)
    write_tiny_bundle(folder, "other")
    add_version(folder, 2)
    (tmp_path / "far").mkdir()
    monkeypatch.setenv("BIJECTA_STORE", str(folder))
    return folder


@pytest.fixture
def far(near: Path) -> str:
    return f"file://{near.parent}/far"


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints, on one line where it is refused."""
    assert main(["store", *arguments]) == code
    printed = capsys.readouterr()
    if code:
        (line,) = printed.err.splitlines()
        return line
    return printed.out


def test_a_push_uploads_what_is_not_there_manifests_and_names_last(
    near: Path, far: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    usual = RemoteFiles.put

    def counted(files: RemoteFiles, path: str, source: Path) -> None:
        put.append(path)
        usual(files, path, source)

    monkeypatch.setattr(RemoteFiles, "put", counted)
    write_names(near / NAME, Names(aliases={"stable": 1}))
    pushed = [f"pushed {NAME}/1", f"pushed {NAME}/2", f"pushed {NAME}/{NAMES}", "pushed other/1"]
    assert said(capsys, "push", far).splitlines() == pushed
    of_one = [path.rpartition("/")[2] for path in put if path.startswith(f"{NAME}/1/")]
    assert len(of_one) == 3
    assert of_one[-1] == MANIFEST
    assert put.index(f"{NAME}/{NAMES}") > put.index(f"{NAME}/2/{MANIFEST}")
    assert said(capsys, "push", far) == f"{far} has all of it\n"
    main(["store", "rollback", NAME])
    capsys.readouterr()
    assert said(capsys, "push", far, NAME).splitlines() == [f"pushed {NAME}/{NAMES}"]
    assert read_names(near.parent / "far" / NAME).withdrawn == {2}


def test_a_push_replaces_nothing_and_uploads_nothing_that_is_broken(
    near: Path, far: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "push", far, "other")
    (near.parent / "far" / "other" / "1" / MANIFEST).write_text("{}")
    assert "other/1 is another bundle there" in said(capsys, "push", far, "other", code=1)
    (near / NAME / "1" / "encode.onnx").write_bytes(b"damaged")
    assert "is altered" in said(capsys, "push", far, NAME, code=1)
    assert not (near.parent / "far" / NAME).exists()
    assert "there is no model 'none'" in said(capsys, "push", far, "none", code=1)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("near", "expected an address such as s3://BUCKET/PREFIX"),
        ("s4://bucket", "not s4://"),
        ("s3://key:topsecret@bucket", "AWS_ACCESS_KEY_ID"),
        ("http://127.0.0.1:9/x", "a web server is written to by means of its own"),
        ("file:///nowhere/at/all", "there is no store at this address"),
    ],
)
def test_what_cannot_be_pushed_to_is_said_in_a_line(
    near: Path, capsys: pytest.CaptureFixture[str], address: str, expected: str
) -> None:
    line = said(capsys, "push", address, code=1)
    assert expected in line
    assert "topsecret" not in line


def test_the_list_of_a_store_elsewhere_is_that_of_the_folder(
    near: Path, far: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_names(near / NAME, Names(aliases={"stable": 1}, withdrawn=frozenset({2})))
    said(capsys, "push", far)
    here, there = (
        json.loads(said(capsys, "list", "--json", "--store", store)) for store in (str(near), far)
    )
    assert there["store"] == far
    for listed in (here, there):
        del listed["store"]
        for model in listed["models"]:
            for version in model["versions"]:
                del version["written"]
    assert there == here
    (near.parent / "far" / NAME / "2" / "encode.onnx").unlink()
    (near.parent / "far" / "other" / "1" / MANIFEST).write_text("{}")
    printed = said(capsys, "list", "--store", far)
    assert f"broken: {NAME}/2/encode.onnx is missing" in printed
    assert "broken: other/1/manifest.json is damaged" in printed
    assert "@stable" in printed
    assert "there is no model 'none' in file://" in said(
        capsys, "list", "none", "--store", far, code=1
    )


def test_the_list_of_an_indexed_store_is_by_its_index(
    near: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp", reason="the extra https")
    (near / "index.json").write_bytes(index_of(near))
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]
    with subprocess.Popen(
        [*command[:1], "-u", *command[1:], str(near)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[5]
        printed = said(capsys, "list", "--store", f"http://127.0.0.1:{port}")
        server.kill()
    assert printed.count(NAME) == 2
    assert "broken" not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["store", "alias", "wine@stable", "1"],
        ["store", "rollback", "wine"],
        ["store", "prune", "--yes"],
        ["store", "index"],
        ["calibrate", "store/wine", "rows.csv"],
        ["fit", "rows.csv", "--name", "wine"],
        ["export", "run"],
    ],
)
def test_what_writes_to_a_folder_refuses_an_address_and_says_what_does(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, "--store", "s3://bucket/p"])
    assert "`bijecta store push" in capsys.readouterr().err
    assert not Path("s3:").exists()
