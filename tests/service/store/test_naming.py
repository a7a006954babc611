"""What names mean while they change under a server that runs."""

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest

from service.bundle import NAMES, Names, write_names
from service.errors import (
    InvalidInputError,
    ModelRefusedError,
    UnavailableError,
    UnknownModelError,
)
from service.store import Store, loads
from service.store_folder import roll_back, set_alias
from tests.helpers.bad_bundles import write_endless_bundle
from tests.helpers.stores import Opened, edit, run_within
from tests.helpers.tiny import write_tiny_bundle

NAME = "wine"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of one model in three versions."""
    for version in (1, 2, 3):
        write_tiny_bundle(tmp_path, NAME, version)
    return tmp_path


async def meant(store: Store, name: str) -> int:
    """The version that a name means."""
    with await store.get(name, None) as model:
        return model.manifest.version


def test_names_move_at_the_next_look_and_requests_end_where_they_began(
    folder: Path, opened: Opened
) -> None:
    async def work() -> None:
        set_alias(folder, NAME, "stable", 2)
        store = opened()
        await store.refresh()
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (3, 2)
        lease = await store.get(f"{NAME}@stable", None)
        set_alias(folder, NAME, "stable", 1)
        roll_back(folder, NAME, None)
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (3, 2)
        await store.refresh()
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (2, 1)
        assert lease.resource.manifest.version == 2
        lease.release()
        write_tiny_bundle(folder, NAME, 4)
        await store.refresh()
        assert await meant(store, NAME) == 4
        roll_back(folder, NAME, None)  # not to 3, which was taken back before
        await store.refresh()
        assert await meant(store, NAME) == 2
        (folder / NAME / NAMES).unlink()
        await store.refresh()
        assert await meant(store, NAME) == 4
        with pytest.raises(UnknownModelError, match="no alias 'stable': it has none"):
            await store.get(f"{NAME}@stable", None)

    run_within(work)


def test_what_a_reference_may_not_be(folder: Path, opened: Opened) -> None:
    write_names(folder / NAME, Names(aliases={"gone": 7, "stable": 2}))

    async def work() -> None:
        store = opened()
        await store.refresh()
        for reference, words in {
            f"{NAME}@gone": "'wine@gone' is version 7, which is gone: there are 3, 2, 1",
            f"{NAME}@other": "model 'wine' has no alias 'other': there are gone, stable",
            f"{NAME}@": "model 'wine' has no alias ''",
            f"{NAME}@3": "model 'wine' has no alias '3'",
            f"{NAME}@stable@stable": "model 'wine' has no alias 'stable@stable'",
            "beer@stable": "no model 'beer@stable': there are wine",
            "@stable": "no model '@stable': there are wine",
            "@": "no model '@': there are wine",
        }.items():
            with pytest.raises(UnknownModelError) as refused:
                await store.get(reference, None)
            assert words in str(refused.value)
        with pytest.raises(InvalidInputError, match="'wine@stable' is version 2: leave out ver"):
            await store.get(f"{NAME}@stable", 2)
        roll_back(folder, NAME, 1)
        shutil.rmtree(folder / NAME / "1")
        for _ in range(2):
            await store.refresh()
        with pytest.raises(UnknownModelError, match="every version of model 'wine' was taken back"):
            await store.get(NAME, None)
        assert await meant(store, f"{NAME}@stable") == 2

    run_within(work)


def test_an_alias_stays_where_it_is_until_its_new_version_is_loaded(
    folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = loads.PATIENCE

    async def work() -> None:
        set_alias(folder, NAME, "stable", 2)
        store = opened()
        await store.refresh()
        monkeypatch.setattr(loads, "PATIENCE", 0.05)
        path = write_endless_bundle(folder, "endless")
        edit(path, name=NAME, version=4)
        path.rename(folder / NAME / "4")
        write_names(folder / NAME, Names(aliases={"stable": 4, "new": 4}))
        await store.refresh()  # version 4 is still being loaded
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (3, 2)
        with pytest.raises(UnavailableError, match="wine/4 is still being loaded"):
            await store.get(f"{NAME}@new", None)
        store.entries[NAME][4].found = None  # other files are there
        shutil.rmtree(folder / NAME / "4")
        await store.unload(NAME)  # which ends the load
        shutil.copytree(folder / NAME / "1", folder / "made")
        edit(folder / "made", version=4)
        (folder / "made").rename(folder / NAME / "4")
        monkeypatch.setattr(loads, "PATIENCE", patience)
        await store.load(NAME)
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (4, 4)

    run_within(work)


HOSTILE = ["fifo", "huge", "damaged", "a newer format", "a bad name", "an alias of itself"]


def spoil(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "huge":
            path.write_text(" " * 2**20)
        case "damaged":
            path.write_text('{"format_version": 1, "withdrawn": [3')
        case "a newer format":
            path.write_text('{"format_version": 2}')
        case "a bad name":
            path.write_text('{"format_version": 1, "aliases": {"../x": 1}}')
        case "an alias of itself":
            path.write_text('{"format_version": 1, "aliases": {"stable": "stable"}}')


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_file_changes_nothing_where_names_are_known(
    folder: Path, opened: Opened, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        set_alias(folder, NAME, "stable", 1)
        roll_back(folder, NAME, None)
        store = opened()
        await store.refresh()
        spoil(folder / NAME / NAMES, kind)
        for _ in range(3):
            await store.refresh()
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (2, 1)
        assert list(store.naming.problems) == [NAME]
        assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
        (folder / NAME / NAMES).unlink()
        set_alias(folder, NAME, "stable", 3)
        await store.refresh()
        assert (await meant(store, NAME), await meant(store, f"{NAME}@stable")) == (3, 3)
        assert store.naming.problems == {}

    run_within(work)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_file_at_the_start_leaves_numbers(folder: Path, opened: Opened, kind: str) -> None:
    """What was taken back is not known then, and is not to be served unasked."""
    spoil(folder / NAME / NAMES, kind)
    write_tiny_bundle(folder, "beer")

    async def work() -> None:
        store = opened()
        await store.refresh()
        for reference in (NAME, f"{NAME}@stable"):
            with pytest.raises(ModelRefusedError, match=f"wine/{NAMES} "):
                await store.get(reference, None)
        for version in (1, 2, 3):
            with await store.get(NAME, version) as model:
                assert model.manifest.version == version
        assert await meant(store, "beer") == 1
        (folder / NAME / NAMES).unlink()
        await store.refresh()
        assert await meant(store, NAME) == 3

    run_within(work)


def test_versions_that_names_mean_stay_loaded_longest(folder: Path, opened: Opened) -> None:
    write_tiny_bundle(folder, NAME, 4)
    set_alias(folder, NAME, "stable", 1)
    roll_back(folder, NAME, 2)
    size = sum(path.stat().st_size for path in (folder / NAME / "1").glob("*.onnx"))

    def loaded(store: Store) -> set[int]:
        return {model.manifest.version for model in store.models}

    async def work() -> None:
        store = opened(memory=int(2.5 * size))
        await store.refresh()
        assert loaded(store) == {1, 2}
        with await store.get(NAME, 3):
            assert loaded(store) == {2, 3}
        with await store.get(NAME, 4):  # 3 was asked for after 2, and goes
            assert loaded(store) == {2, 4}
        assert await meant(store, f"{NAME}@stable") == 1
        assert loaded(store) == {1, 2}
        add_version_of(folder, 5)
        await store.refresh()
        assert loaded(store) == {1, 5}

    run_within(work)


def add_version_of(folder: Path, version: int) -> None:
    """Another version, in place at once."""
    write_tiny_bundle(folder / "made", NAME, version).rename(folder / NAME / str(version))
    shutil.rmtree(folder / "made")


def test_one_bundle_is_a_store_wherever_it_lies(folder: Path, opened: Opened) -> None:
    anywhere = folder / "some where"
    shutil.copytree(folder / NAME / "2", anywhere)

    async def work() -> None:
        for path in (folder / NAME / "3", anywhere):
            store = opened(path)
            for _ in range(3):
                await store.refresh()
            number = 3 if path.name == "3" else 2
            assert list(store.entries) == [NAME]
            assert list(store.entries[NAME]) == [number]
            assert await meant(store, NAME) == number
            with await store.get(None, number) as model:
                assert model.manifest.version == number
        # another bundle in its place
        edit(anywhere, version=9)
        for _ in range(2):
            await store.refresh()
        assert list(store.entries[NAME]) == [9]
        assert await meant(store, NAME) == 9
        # and none: what is loaded stays
        (anywhere / "manifest.json").unlink()
        for _ in range(3):
            await store.refresh()
        assert await meant(store, NAME) == 9

    run_within(work)


def test_versions_that_come_out_of_order_are_found_in_order(folder: Path, opened: Opened) -> None:
    (folder / NAME / "2").rename(folder / "away")

    async def work() -> None:
        store = opened()
        await store.refresh()
        (folder / "away").rename(folder / NAME / "2")
        await store.refresh()
        assert await meant(store, NAME) == 3
        roll_back(folder, NAME, None)
        await store.refresh()
        assert await meant(store, NAME) == 2

    run_within(work)


def test_requests_are_answered_while_names_move(folder: Path, opened: Opened) -> None:
    async def work() -> None:
        set_alias(folder, NAME, "stable", 1)
        store = opened()
        await store.refresh()
        is_over = False
        versions = []

        async def ask() -> None:
            while not is_over:
                for name in (NAME, f"{NAME}@stable"):
                    with await store.get(name, None) as model:
                        versions.append(model.manifest.version)
                        await asyncio.sleep(0)
                        assert model.engine.healthy

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for turn in range(8):
            set_alias(folder, NAME, "stable", 1 + turn % 3)
            roll_back(folder, NAME, "latest" if turn % 2 else None)
            if turn % 4 == 0:
                add_version_of(folder, 4 + turn // 4)
            await store.refresh()
        is_over = True
        await asyncio.gather(*asking)
        assert {1, 2, 3} < set(versions)

    run_within(work)
