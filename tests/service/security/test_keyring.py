"""Which key a request comes with, and when a file of keys is taken up."""

import logging
import os
from pathlib import Path

import pytest

from service.errors import RateLimitedError, UnauthorizedError
from service.security import Keyring, KeysError, change_keys
from tests.helpers.api_keys import add_key


def header(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_a_key_is_found_and_nothing_that_is_like_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, other = add_key(path, "one"), add_key(path, "two")
    ring = Keyring(path)
    assert ring.find(header(key)).name == "one"
    assert ring.find(b"bearer   " + other.encode() + b" ").name == "two"
    digest = ring.find(header(key)).stored.sha256
    for wrong in (
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        key.encode(),
        b"Basic " + key.encode(),
        header(key[:-1]),
        header(key + "x"),
        header(key.upper()),
        header(key) + b", " + header(other),
        header(digest),
        b"Bearer " + b"x" * 100_000,
        b"Bearer \xff\x00",
    ):
        with pytest.raises(UnauthorizedError) as found:
            ring.find(wrong)
        assert found.value.headers["WWW-Authenticate"].startswith('Bearer realm="bijecta"')
        assert key not in found.value.detail


def test_a_digest_that_begins_alike_is_another(tmp_path: Path) -> None:
    """What is looked up is a part of the digest: all of it is compared."""
    path = tmp_path / "keys.json"
    key = add_key(path)

    def altered(keys: list) -> list:  # type: ignore[type-arg]
        end = "0" if keys[0].sha256[-1] != "0" else "1"
        return [keys[0].model_copy(update={"sha256": keys[0].sha256[:-1] + end})]

    change_keys(path, altered)
    with pytest.raises(UnauthorizedError):
        Keyring(path).find(header(key))


def test_a_key_ends_when_it_says(tmp_path: Path) -> None:
    path, now = tmp_path / "keys.json", 1_800_000_000.0
    key = add_key(path, expires="2027-01-15T08:00:00Z")  # 1,800,000,000
    seconds = [now - 0.001]
    ring = Keyring(path, now=lambda: seconds[0])
    assert ring.find(header(key)).name == "somebody"
    seconds[0] = now
    with pytest.raises(UnauthorizedError, match="somebody has expired"):
        ring.find(header(key))


def test_a_file_is_taken_up_when_it_changes_and_what_is_drawn_stays_drawn(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "slow", requests_per_second=1)
    ring = Keyring(path, clock=lambda: 0.0)
    ring.find(header(key)).charge_request()
    later = add_key(path, "later")
    with pytest.raises(UnauthorizedError):
        ring.find(header(later))
    ring.refresh()
    assert ring.find(header(later)).name == "later"
    with pytest.raises(RateLimitedError) as found:
        ring.find(header(key)).charge_request()
    assert found.value.headers == {"Retry-After": "1"}
    change_keys(path, lambda keys: keys[1:])
    ring.refresh()
    with pytest.raises(UnauthorizedError):
        ring.find(header(key))


def test_a_bad_file_leaves_the_keys_of_before_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path)
    ring = Keyring(path)
    whole = path.read_bytes()
    for bad in (b"{", None):
        caplog.clear()
        if bad is None:
            path.unlink()
        else:
            path.write_bytes(bad)
        for _ in range(3):
            ring.refresh()
        assert ring.find(header(key)).name == "somebody"
        assert not ring.is_readable
        (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert record.getMessage().endswith("the keys of before stay")
    path.write_bytes(whole)
    ring.refresh()
    assert ring.is_readable


def test_a_file_that_is_bad_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="bijecta keys add"):
        Keyring(tmp_path / "keys.json")


def test_a_file_of_the_same_size_in_its_place_is_another(tmp_path: Path) -> None:
    path, other = tmp_path / "keys.json", tmp_path / "others.json"
    key, new = add_key(path), add_key(other)
    ring = Keyring(path)
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    ring.refresh()
    assert ring.find(header(new)).name == "somebody"
    with pytest.raises(UnauthorizedError):
        ring.find(header(key))
