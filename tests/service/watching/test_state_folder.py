"""States are found again as they were, and nothing else is taken for one."""

import logging
from pathlib import Path

import numpy as np
import pytest

from service.watching.state_folder import MARK, MAX_BYTES, Kept, StateFolder

KEPT = Kept({"bundle": "abc", "alarm": None}, {"a": np.arange(5.0), "b": np.array(3)})


def opened(folder: Path) -> StateFolder:
    found = StateFolder.open(folder)
    assert found is not None
    return found


def test_what_is_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    folder = opened(tmp_path / "new" / "watch")
    assert folder.read("payments", 1) is None
    folder.write("payments", 1, KEPT)
    folder.close()
    found = opened(tmp_path / "new" / "watch").read("payments", 1)
    assert found is not None
    assert found.about == KEPT.about
    assert found.state.keys() == KEPT.state.keys()
    for key, array in found.state.items():
        np.testing.assert_array_equal(array, KEPT.state[key])


def test_processes_do_not_share_states(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    first.write("payments", 1, KEPT)
    assert second.read("payments", 1) is None
    first.close()
    third = opened(tmp_path)
    assert third.read("payments", 1) is not None


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write("payments", 1, KEPT)
    path = tmp_path / "process-0" / "payments.1"
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 37)]
    for place in range(0, len(whole), 29):
        altered = bytearray(whole)
        altered[place] ^= 1
        damaged.append(bytes(altered))
    damaged += [
        whole + b"x",
        b"{}",
        MARK,
        whole.replace(b"watch 1", b"watch 2"),
        bytes(MAX_BYTES + 1),
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged|no state"):
            folder.read("payments", 1)
    path.write_bytes(whole)
    assert folder.read("payments", 1) is not None


def test_a_write_that_fails_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(tmp_path)
    folder.write("payments", 1, KEPT)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        folder.write("payments", 1, Kept({"bundle": "other"}, {}))
    found = folder.read("payments", 1)
    assert found is not None
    assert found.about == KEPT.about


def test_a_folder_that_cannot_be_used_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.ERROR):
        assert StateFolder.open(tmp_path / "file") is None
    assert [record.getMessage().count("no state is kept") for record in caplog.records] == [1]
