"""A store behind a web server."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service import bundle
from service.bundle import MANIFEST, NAMES, SIGNATURE, Names, write_names
from service.cli import main
from service.remote.address import parse
from service.remote.files import RemoteError
from service.remote.index import IndexedFiles, index_of
from service.remote.mirror import Mirror
from tests.helpers.stores import NAME, add_version
from tests.helpers.tiny import write_tiny_bundle

pytest.importorskip("aiohttp", reason="the extra https")


class _Handler(SimpleHTTPRequestHandler):
    """Files of a folder to who has the key, which is part of the URL."""

    def do_GET(self) -> None:
        if self.path.partition("?")[2] != "sig=hunter2":
            self.send_error(403)
            return
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and its URL."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def opened(url: str, cache: Path) -> Mirror:
    address = parse(url)
    assert address is not None
    return Mirror(IndexedFiles(address), cache, lambda *_, **__: None)


def index(folder: Path) -> None:
    assert main(["store", "index", "--store", str(folder)]) == 0


def test_a_store_is_taken_by_its_index(web: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = web
    write_tiny_bundle(folder, NAME)
    add_version(folder, 2)
    index(folder)
    mirror, held = opened(f"{url}?sig=hunter2", tmp_path / "cache"), tmp_path / "cache" / "store"
    mirror.look()
    assert bundle.versions(held / NAME) == [1, 2]
    add_version(folder, 3)
    mirror.look()
    assert bundle.versions(held / NAME) == [1, 2]  # the index has not got it
    write_names(folder / NAME, Names(withdrawn=frozenset({3})))
    index(folder)
    mirror.look()
    assert bundle.versions(held / NAME) == [1, 2, 3]
    assert bundle.read_names(held / NAME).withdrawn == {3}
    (folder / NAME / "3" / SIGNATURE).write_bytes(b"a signature")
    index(folder)
    mirror.look()
    assert (held / NAME / "3" / SIGNATURE).read_bytes() == b"a signature"
    assert not (held / NAME / "2" / SIGNATURE).exists()
    # a cache on the way that still has the old file
    (folder / NAME / NAMES).write_bytes(Names().to_json())
    opened(f"{url}?sig=hunter2", tmp_path / "cache")
    with pytest.raises(RemoteError, match="one of them is old"):
        opened(f"{url}?sig=hunter2", tmp_path / "cache").look()
    assert bundle.read_names(held / NAME).withdrawn == {3}
    listed = json.loads((folder / "index.json").read_text())
    listed["models"][NAME]["versions"]["4"] = "0" * 64
    del listed["models"][NAME]["names"]
    (folder / "index.json").write_text(json.dumps(listed))
    mirror.look()
    assert mirror.refused == 1  # it is not there


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no index.json"),
        ("{", "index.json is damaged"),
        ('{"format_version": 2, "models": {}}', "format_version"),
        ('{"models": {"../up": {"versions": {"1": "' + "0" * 64 + '"}}}}', "damaged"),
        ('{"models": {"a": {"versions": {"../1": "' + "0" * 64 + '"}}}}', "damaged"),
        ('{"models": {"a": {"versions": {"9999999999999999999": "' + "0" * 64 + '"}}}}', "2\\^63"),
        ('{"models": {"a": {"versions": {"1": "short"}}}}', "damaged"),
        ("[" * 100_000, "damaged"),
        (" " * (2**22 + 1), "more than 4194304 bytes"),
    ],
)
def test_an_index_that_is_none_is_refused(
    web: tuple[Path, str], tmp_path: Path, content: str | None, expected: str
) -> None:
    folder, url = web
    if content is not None:
        (folder / "index.json").write_text(content)
    with pytest.raises(RemoteError, match=expected):
        opened(f"{url}?sig=hunter2", tmp_path / "cache").look()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda url: f"{url}?sig=wrong-hunter", "may not be read"),
        (lambda url: f"{url}/elsewhere?sig=hunter2", "there is no index.json"),
        (lambda _: "http://127.0.0.1:9/x?sig=hunter2", "cannot be read now"),
    ],
)
def test_a_refusal_repeats_no_secret(
    web: tuple[Path, str], tmp_path: Path, change: Callable[[str], str], expected: str
) -> None:
    _, url = web
    with pytest.raises(RemoteError, match=expected) as caught:
        opened(change(url), tmp_path / "cache").look()
    assert "hunter" not in str(caught.value)


def test_the_index_lists_what_is_there(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path, NAME)
    (tmp_path / NAME / "2").mkdir()
    listed = json.loads(index_of(tmp_path))
    assert listed["models"] == {NAME: {"versions": {"1": bundle.sha256(path / MANIFEST)}}}


def test_an_index_of_no_store_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "index", "--store", str(tmp_path / "none")]) == 1
    assert "there is no store" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["store", "index", "--store", "s3://bucket"])
    assert "expected a folder, and s3:// is none" in capsys.readouterr().err
