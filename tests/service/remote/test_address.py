"""Addresses of stores elsewhere."""

from pathlib import Path

import pytest

from service.remote.address import AddressError, parse
from service.remote.cache import cache_folder
from service.server import Server
from service.settings import Settings, SettingsError


@pytest.mark.parametrize(
    "text", ["store", "/srv/store", "./s3:/b", "C:\\store", "store/wine/3", "", "://"]
)
def test_a_path_is_a_folder(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "shown", "url"),
    [
        ("s3://bucket", "s3://bucket", "bucket/a/1/f"),
        ("S3://bucket/some/where/", "s3://bucket/some/where", "bucket/some/where/a/1/f"),
        ("gs://bucket/p", "gs://bucket/p", "bucket/p/a/1/f"),
        ("az://container/p", "az://container/p", "container/p/a/1/f"),
        ("hf://someone/flows@main", "hf://someone/flows@main", "someone/flows@main/a/1/f"),
        ("file:///mnt/store", "file:///mnt/store", "/mnt/store/a/1/f"),
        ("https://h.example/s/", "https://h.example/s", "https://h.example/s/a/1/f"),
        ("http://127.0.0.1:9/s", "http://127.0.0.1:9/s", "http://127.0.0.1:9/s/a/1/f"),
    ],
)
def test_an_address_says_where_its_files_are(text: str, shown: str, url: str) -> None:
    address = parse(text)
    assert address is not None
    assert str(address) == shown
    assert address.url("a/1/f") == url


def test_secrets_of_an_address_are_not_shown() -> None:
    address = parse("https://me:hunter2@h.example/s?sig=abc&se=1")
    assert address is not None
    assert str(address) == "https://…@h.example/s?…"
    assert address.url("f") == "https://me:hunter2@h.example/s/f?sig=abc&se=1"
    said = address.masked("GET https://me:hunter2@h.example/s?sig=abc&se=1, hunter2")
    assert "hunter2" not in said
    assert "abc" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s4://bucket", "a store is a folder, s3://"),
        ("ftp://host/store", "not ftp://"),
        ("s3://", "names no store"),
        ("file://", "names no store"),
        ("https:///path", "names no store"),
        ("s3://AKIA:topsecret@bucket/p", "AWS_ACCESS_KEY_ID"),
        ("gs://bucket?token=topsecret", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("s3://bucket/../other", "no .. in it"),
        ("s3://bucket/a\nb", "no .. in it"),
        ("https://h/s#topsecret", "no #"),
        ("http://h.example/s", "use https://"),
        ("https://[topsecret/s", "no address of a store"),
    ],
)
def test_what_is_no_address_is_refused_without_its_secrets(text: str, expected: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert expected in str(caught.value)
    assert "topsecret" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"--store, BIJECTA_STORE"):
        Server(Settings(store=text, device="cpu"))


def test_each_store_has_a_folder_of_its_own_below_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["s3://a/b", "s3://a-b", "gs://a/b", "https://h/?x=1", "https://h/?x=2"]
    addresses = [address for text in texts if (address := parse(text))]
    folders = {cache_folder(address, tmp_path) for address in addresses}
    assert len(folders) == len(texts)
    assert {folder.parent for folder in folders} == {tmp_path}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(addresses[0], None).parent == tmp_path / "xdg" / "bijecta" / "stores"


def test_without_a_folder_of_the_users_own_it_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = parse("s3://bucket")
    assert address is not None
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder(address, None).parent == tmp_path
    with pytest.raises(AddressError, match="--cache"):
        cache_folder(address, tmp_path / "file")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(AddressError, match="--cache"):
        cache_folder(address, None)


def test_a_cache_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--cache"):
        Server(Settings(store=tmp_path, cache=tmp_path, device="cpu"))
