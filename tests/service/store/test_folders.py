"""Stores of which folders go, cannot be read or are not bundles: what is loaded is served."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.store import Store
from service.store_folder import look
from tests.helpers.stores import Opened, names, run_within
from tests.helpers.tiny import write_tiny_bundle


@pytest.mark.parametrize("how", ["emptied", "a mount's top", "gone", "a file", "all at once"])
def test_what_is_loaded_stays_where_the_whole_store_goes(
    tmp_path: Path, opened: Opened, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "store"
    models = {"one"} if how == "emptied" else {"one", "two"}
    for name in models:
        write_tiny_bundle(folder, name)

    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        (tmp_path / "away").mkdir()
        folder.rename(tmp_path / "away" / "store")
        match how:
            case "emptied":
                folder.mkdir()
                (folder / ".gitignore").write_text("*\n")
            case "a mount's top":
                (folder / "lost+found").mkdir(parents=True)
            case "a file":
                folder.write_text("no folder")
            case "all at once":
                (folder / "other").mkdir(parents=True)
        for _ in range(4):
            await store.refresh()
        assert names(store) == models
        assert readable(store) == 0
        assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
        if how != "gone":
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        (tmp_path / "away" / "store").rename(folder)
        await store.refresh()
        assert (names(store), readable(store)) == (models, 1)

    run_within(work)


def readable(store: Store) -> float | None:
    return store._looks._metrics.registry.get_sample_value("bijecta_store_readable")


def test_one_model_that_cannot_be_looked_through_hides_no_other(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write_tiny_bundle(tmp_path, name)
    scan = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("/b"):
            raise OSError(5, "Input/output error", str(path))
        return scan(path)

    async def work() -> None:
        store = opened()
        await store.refresh()
        monkeypatch.setattr(os, "scandir", failing)
        write_tiny_bundle(tmp_path, "d")
        for _ in range(3):
            await store.refresh()
        assert names(store) == {"a", "b", "c", "d"}

    run_within(work)


def test_what_is_passed_over_is_said_once_and_escaped(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiny_bundle(tmp_path, "tiny")
    (tmp_path / "evil\n2026 ERROR all is lost" / "1").mkdir(parents=True)
    (tmp_path / "tiny" / str(2**63)).mkdir()

    async def work() -> None:
        store = opened()
        for _ in range(4):
            await store.refresh()

    run_within(work)
    said = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(said) == 2
    assert all("\n" not in text for text in said)
    assert any(r"evil\n2026" in text for text in said)


def test_a_store_of_too_many_entries_is_refused_whole(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them at random would come and go."""
    write_tiny_bundle(tmp_path, "tiny")

    async def work() -> None:
        store = opened()
        await store.refresh()
        for index in range(20):
            (tmp_path / "tiny" / f"x{index}").mkdir()
        monkeypatch.setattr(look, "MAX_ENTRIES", 10)
        for _ in range(3):
            await store.refresh()
        assert names(store) == {"tiny"}
        monkeypatch.setattr(look, "MAX_ENTRIES", 0)
        for _ in range(3):
            await store.refresh()
        assert (names(store), readable(store)) == ({"tiny"}, 0)

    run_within(work)
