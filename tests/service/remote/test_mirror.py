"""A folder that is kept like a store elsewhere."""

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import bundle
from service.bundle import MANIFEST, NAMES
from service.remote import mirror
from service.remote.address import Address
from service.remote.files import RemoteError, RemoteFiles
from tests.helpers.examples import examples
from tests.helpers.far import NAME, Far


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path)


def test_what_is_whole_is_taken_and_what_is_gone_is_removed_at_the_second_look(far: Far) -> None:
    far.put(NAME, 1)
    far.put(NAME, 2)
    far.put("other", 1)
    far.mirror.look()
    assert far.held().keys() == {(NAME, 1), (NAME, 2), ("other", 1)}
    far.remove(f"{NAME}/1")
    far.remove("other")
    far.mirror.look()
    assert len(far.held()) == 3
    far.mirror.look()
    assert far.held().keys() == {(NAME, 2)}
    assert not (far.cache / "store" / "other").exists()
    assert {where for where, _ in far.events("removed")} == {f"{NAME}/1", "other/1"}


def test_a_second_look_fetches_nothing_and_a_second_process_manifests_at_most(far: Far) -> None:
    fetched: list[str] = []

    class Counting(RemoteFiles):
        def fetch(self, path: str, *rest: Any) -> None:
            fetched.append(path)
            super().fetch(path, *rest)

    files = Counting(Address("memory", far.root), far.files)
    for version in (1, 2, 3):
        far.put(NAME, version, str(version))
    first = far.opened(files)
    first.look()
    fetched.clear()
    first.look()
    assert fetched == []
    far.opened(files).look()
    assert fetched == []
    (far.cache / "marks.json").write_text("damaged")
    far.opened(files).look()
    assert sorted(fetched) == [f"{NAME}/{version}/{MANIFEST}" for version in (1, 2, 3)]
    far.put(NAME, 4, "4")
    fetched.clear()
    first.look()
    # the other graph is here, by its sum
    assert fetched == [f"{NAME}/4/{MANIFEST}", f"{NAME}/4/encode.onnx"]


Break = Callable[[Far], None]

BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (lambda far: far.remove(f"{NAME}/2/decode.onnx"), "decode.onnx is missing"),
    "truncated": (lambda far: far.change(f"{NAME}/2/encode.onnx", lambda b: b[:50]), "is altered"),
    "other bytes": (
        lambda far: far.change(f"{NAME}/2/encode.onnx", lambda b: b[:-1] + b"!"),
        "expected sha256",
    ),
    "half a manifest": (
        lambda far: far.change(f"{NAME}/2/{MANIFEST}", lambda b: b[: len(b) // 2]),
        "is damaged",
    ),
    "another's manifest": (
        lambda far: far.change(f"{NAME}/2/{MANIFEST}", lambda _: far.bundle(NAME, 3)[MANIFEST]),
        "holds the manifest of",
    ),
    "paths": (
        lambda far: far.change(
            f"{NAME}/2/{MANIFEST}", lambda b: b.replace(b'"encode.onnx": ', b'"../../x.onnx": ')
        ),
        "files",
    ),
    "a sum that is a path": (
        lambda far: far.change(f"{NAME}/2/{MANIFEST}", _with_sum("../../../passwd")),
        "is altered",
    ),
}


def _with_sum(text: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        manifest = json.loads(content)
        manifest["files"]["encode.onnx"] = text
        manifest["checksum"] = bundle.checksum(manifest)
        return json.dumps(manifest).encode()

    return change


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_whole_is_said_once_and_taken_when_it_is(far: Far, kind: str) -> None:
    damage, reason = BROKEN[kind]
    far.put(NAME, 1, "first")
    far.put(NAME, 2, "second")
    damage(far)
    for _ in range(3):
        far.mirror.look()
    assert far.held() == {(NAME, 1): "first"}
    assert far.mirror.refused == 1
    ((where, why),) = far.events("refused")
    assert where == f"{NAME}/2"
    assert reason in why
    assert str(far.cache) not in why
    far.put(NAME, 2, "second")
    far.mirror.look()
    assert far.held() == {(NAME, 1): "first", (NAME, 2): "second"}
    assert far.mirror.refused == 0


def test_a_version_without_its_manifest_is_not_there_yet(far: Far) -> None:
    far.put(NAME, 1)
    far.put(NAME, 2, only=2)
    far.mirror.look()
    assert far.held().keys() == {(NAME, 1)}
    assert far.events("refused") == []


def test_another_bundle_in_the_place_of_one_is_taken_and_a_broken_one_is_not(far: Far) -> None:
    far.put(NAME, 1, "old")
    far.mirror.look()
    far.put(NAME, 1, "new")
    far.mirror.look()
    assert far.held() == {(NAME, 1): "new"}
    far.put(NAME, 1, "newest")
    far.change(f"{NAME}/1/encode.onnx", lambda content: content[:9])
    far.mirror.look()
    assert far.held() == {(NAME, 1): "new"}


def test_what_was_refused_is_tried_again_after_a_pause(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may have altered the bytes on their way: the listing is then the same."""
    is_altered = True

    class Altering(RemoteFiles):
        def fetch(self, path: str, to: Path, *rest: Any) -> None:
            super().fetch(path, to, *rest)
            if is_altered and path.endswith("encode.onnx"):
                to.write_bytes(b"altered")

    far.put(NAME, 1)
    looked = far.opened(Altering(Address("memory", far.root), far.files))
    looked.look()
    is_altered = False
    looked.look()
    assert far.held() == {}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + mirror.FIRST_PAUSE + 1)
    looked.look()
    assert far.held().keys() == {(NAME, 1)}


def test_all_gone_at_once_and_a_store_that_cannot_be_read_change_nothing(far: Far) -> None:
    far.put(NAME, 1)
    far.call(NAME, aliases={"stable": 1})
    far.mirror.look()
    far.remove(NAME)
    for _ in range(3):
        with pytest.raises(RemoteError, match="no bundle is left"):
            far.mirror.look()
    again = far.opened()  # after a restart too
    with pytest.raises(RemoteError, match="no bundle is left"):
        again.look()
    assert far.held().keys() == {(NAME, 1)}
    assert far.names(NAME).aliases == {"stable": 1}


def test_one_version_that_cannot_be_fetched_keeps_no_other_from_it(far: Far) -> None:
    class Failing(RemoteFiles):
        def fetch(self, path: str, *rest: Any) -> None:
            if path.startswith("bad/"):
                with self._said(path):
                    raise ConnectionResetError("reset by https://user:secret@host")
            super().fetch(path, *rest)

    far.put("bad", 1)
    far.put(NAME, 1)
    address = Address("memory", far.root, secrets=("secret",))
    looked = far.opened(Failing(address, far.files))
    with pytest.raises(RemoteError, match=r"bad/1/manifest\.json cannot be read now") as caught:
        looked.look()
    assert "secret" not in str(caught.value)
    assert far.held().keys() == {(NAME, 1)}


def test_names_are_followed_as_far_as_their_versions_are_here(far: Far) -> None:
    far.put(NAME, 1)
    far.put(NAME, 2)
    far.call(NAME, aliases={"stable": 1})
    far.mirror.look()
    assert far.names(NAME).aliases == {"stable": 1}
    far.put(NAME, 3)
    far.change(f"{NAME}/3/encode.onnx", lambda content: content[:9])
    far.call(NAME, aliases={"stable": 3, "old": 1}, withdrawn=frozenset({2}))
    far.mirror.look()
    assert far.names(NAME).aliases == {"stable": 1, "old": 1}
    assert far.names(NAME).withdrawn == {2}
    far.put(NAME, 3)
    far.mirror.look()
    assert far.names(NAME).aliases == {"stable": 3, "old": 1}
    far.remove(f"{NAME}/{NAMES}")
    far.mirror.look()
    assert far.names(NAME).aliases == {}


def test_no_version_is_there_before_it_is_known_which_were_taken_back(far: Far) -> None:
    is_down = True

    class Down(RemoteFiles):
        def fetch(self, path: str, *rest: Any) -> None:
            if is_down and path.endswith(NAMES):
                raise RemoteError("it is down")
            super().fetch(path, *rest)

    far.put(NAME, 1)
    far.put(NAME, 2)
    far.call(NAME, withdrawn=frozenset({2}))
    looked = far.opened(Down(Address("memory", far.root), far.files))
    with pytest.raises(RemoteError, match="down"):
        looked.look()
    assert far.held() == {}
    is_down = False
    looked.look()
    assert far.names(NAME).withdrawn == {2}


def test_a_damaged_file_of_names_is_handed_on_as_it_is(far: Far) -> None:
    far.put(NAME, 1)
    far.files.pipe_file(f"{far.root}/{NAME}/{NAMES}", b"{")
    far.mirror.look()
    assert (far.cache / "store" / NAME / NAMES).read_bytes() == b"{"
    far.call(NAME, aliases={"stable": 1})
    far.mirror.look()
    assert far.names(NAME).aliases == {"stable": 1}


def test_names_that_no_model_may_have_are_passed_over(far: Far) -> None:
    far.put(NAME, 1)
    far.files.pipe_file(f"{far.root}/Up Case/1/{MANIFEST}", b"{}")
    far.files.pipe_file(f"{far.root}/{NAME}/0/{MANIFEST}", b"{}")
    far.files.pipe_file(f"{far.root}/{NAME}/{2**70}/{MANIFEST}", b"{}")
    far.files.pipe_file(f"{far.root}/{NAME}/2/deep/{MANIFEST}", b"{}")
    far.files.pipe_file(f"{far.root}/index.json", b"{}")
    far.mirror.look()
    far.mirror.look()
    assert far.held().keys() == {(NAME, 1)}
    ((where, _),) = far.events("refused")
    assert where == "Up Case"


def test_what_is_too_large_is_not_fetched(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    far.put(NAME, 1)
    monkeypatch.setattr(mirror, "MAX_BUNDLE_BYTES", 100)
    far.mirror.look()
    ((_, why),) = far.events("refused")
    assert "may have 100" in why
    monkeypatch.undo()
    monkeypatch.setattr(mirror, "FREE_BYTES", 2**60)
    fresh = far.opened()
    fresh.look()
    assert "the cache has room for" in far.events("refused")[-1][1]
    assert far.held() == {}


def test_files_that_no_version_has_are_removed(far: Far) -> None:
    far.put(NAME, 1)
    far.put("other", 1)
    far.change(f"other/1/{MANIFEST}", lambda _: b"{}")
    (far.cache / "files" / ("0" * 64)).write_bytes(b"of a version that is gone")
    (far.cache / "partial" / "left").mkdir()
    again = far.opened()
    again.look()
    assert len(list((far.cache / "files").iterdir())) == 2
    assert list((far.cache / "partial").iterdir()) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "half", "break", "remove", "call", "look", "restart"]),
        st.sampled_from([NAME, "other"]),
        st.integers(1, 3),
    ),
    max_size=12,
)


@examples(15)
@given(STEPS)
def test_the_folder_holds_whole_versions_that_the_store_had_and_in_the_end_all(
    steps: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        far = Far(Path(folder))
        whole: dict[tuple[str, int], str] = {}  # what the store has, of what is whole
        ever: set[tuple[str, int, str]] = set()
        looked = far.mirror

        def look() -> None:
            with suppress(RemoteError):  # all may be gone
                looked.look()
            held = far.held()  # reads every file
            assert {(*key, by) for key, by in held.items()} <= ever

        for count, (step, name, version) in enumerate(steps):
            key = name, version
            if step == "put":
                far.put(name, version, str(count))
                whole[key] = str(count)
                ever.add((*key, str(count)))
            elif step == "half" and key not in whole:
                far.put(name, version, only=2)
            elif step == "break" and key in whole:
                far.change(f"{name}/{version}/{MANIFEST}", lambda content: content[:-5])
                del whole[key]
            elif step == "remove" and key in whole:
                far.remove(f"{name}/{version}")
                del whole[key]
            elif step == "call" and key in whole:
                far.call(name, aliases={"stable": version})
            elif step == "restart":
                looked = far.opened()
            elif step == "look":
                look()
        look()
        look()
        held = far.held()
        assert {key: held.get(key) for key in whole} == whole
        for name, _ in held:
            assert set(far.names(name).aliases.values()) <= {v for n, v in held if n == name}
