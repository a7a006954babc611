"""What a store does while its folder changes, without HTTP."""

import asyncio
import json
import math
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import bundle
from service.errors import ModelRefusedError, UnavailableError, UnknownModelError
from service.metrics import Metrics
from service.runtime import Device
from service.settings import ModelSettings
from service.store import Loader, Model, Store
from tests.helpers.stores import NAME, add_version, edit
from tests.helpers.tiny import write_tiny_bundle

X = np.zeros((1, 2), np.float32)
Opened = Callable[..., Store]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with one model in one version."""
    write_tiny_bundle(tmp_path, NAME)
    return tmp_path


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(limited())


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores, and closes them after the test."""
    stores: list[Store] = []

    def opened(folder: Path, memory: int | None = None) -> Store:
        loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
        stores.append(Store(folder, loader, None, memory))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


async def got(store: Store, name: str | None, version: int | None) -> Model:
    """The model that a request means, after the request."""
    with await store.get(name, version) as model:
        return model


async def log_prob(model: Model) -> float:
    answer = await model.engine.encode(X, None, ("log_prob",), math.inf)
    return float(answer["log_prob"][0])


def test_a_new_version_is_the_newest_and_the_old_one_answers_who_holds_it(
    folder: Path, opened: Opened
) -> None:
    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        lease = await store.get(None, None)
        old = lease.resource
        expected = await log_prob(old)
        add_version(folder, 2)
        await store.refresh()
        assert (await got(store, NAME, None)).manifest.version == 2
        assert (await got(store, NAME, 1)) is old
        shutil.rmtree(folder / NAME / "1")
        await store.refresh()
        assert (await got(store, NAME, 1)) is old  # it may be about to be replaced
        await store.refresh()
        with pytest.raises(UnknownModelError, match="no version 1"):
            await got(store, NAME, 1)
        assert await log_prob(old) == expected
        lease.release()

    run(work)


def test_files_replaced_in_place_are_loaded_anew(folder: Path, opened: Opened) -> None:
    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        lease = await store.get(NAME, 1)
        old = lease.resource
        await store.refresh()
        assert await got(store, NAME, 1) is old
        edit(folder / NAME / "1", made_with={"by": "hand"})
        await store.refresh()
        new = await got(store, NAME, 1)
        assert new.manifest.made_with == {"by": "hand"}
        assert await log_prob(new) == await log_prob(old)
        lease.release()

    run(work)


def test_what_is_refused_leaves_the_old_one_in_its_place(folder: Path, opened: Opened) -> None:
    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        old = await got(store, NAME, 1)
        manifest = (folder / NAME / "1" / "manifest.json").read_bytes()
        (folder / NAME / "1" / "manifest.json").write_text("{}")
        bad = add_version_damaged(folder)
        await store.refresh()
        assert await got(store, NAME, None) is old
        assert "damaged" in store.entries[NAME][1].refused
        with pytest.raises(ModelRefusedError, match="is missing"):
            await got(store, NAME, 2)
        # and once they are whole, they are taken
        (folder / NAME / "1" / "manifest.json").write_bytes(manifest)
        shutil.copy(folder / NAME / "1" / "decode.onnx", bad)
        await store.refresh()
        assert (await got(store, NAME, None)).manifest.version == 2
        assert store.entries[NAME][1].refused == ""

    def add_version_damaged(folder: Path) -> Path:
        shutil.copytree(folder / NAME / "1", folder / NAME / "2")
        path = folder / NAME / "2"
        shutil.copy(source, path / "manifest.json")
        edit(path, version=2)
        (path / "decode.onnx").unlink()
        return path

    source = shutil.copy(folder / NAME / "1" / "manifest.json", folder / "whole.json")
    run(work)


def test_a_model_that_gives_other_numbers_than_it_should_is_refused(
    folder: Path, opened: Opened
) -> None:
    path = folder / NAME / "1"
    test = json.loads((path / "manifest.json").read_text())["self_test"]
    assert len(test["x"]) == 2
    edit(path, self_test=test | {"log_prob": test["log_prob"] + 0.01})

    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        with pytest.raises(ModelRefusedError, match="fails its self-test"):
            await got(store, NAME, None)

    run(work)


def test_models_beyond_the_memory_go_and_come_back_when_asked_for(
    folder: Path, opened: Opened
) -> None:
    for name in ("second", "third"):
        add_version(folder, 1, name)
    files = bundle.read(folder / NAME / "1").files
    size = sum((folder / NAME / "1" / file).stat().st_size for file in files)

    async def work() -> None:
        store = opened(folder, memory=int(2.5 * size))
        await store.refresh()
        assert len(store.models) == 2
        await got(store, NAME, None)
        await got(store, "second", None)
        await got(store, "third", None)
        assert {m.manifest.name for m in store.models} == {"second", "third"}
        await got(store, "second", None)
        both = await asyncio.gather(got(store, NAME, None), got(store, NAME, None))
        assert both[0] is both[1]
        assert {m.manifest.name for m in store.models} == {NAME, "second"}
        await store.refresh()
        assert {m.manifest.name for m in store.models} == {NAME, "second"}

    run(work)


def test_what_is_unloaded_stays_so_until_it_is_loaded(folder: Path, opened: Opened) -> None:
    add_version(folder, 1, "second")

    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        await store.unload(NAME)
        await store.refresh()
        with pytest.raises(UnavailableError, match="unloaded"):
            await got(store, NAME, None)
        assert (await got(store, "second", None)).manifest.name == "second"
        await store.load(NAME)
        assert (await got(store, NAME, None)).manifest.name == NAME
        for change in (store.load, store.unload):
            with pytest.raises(UnknownModelError):
                await change("nope")

    run(work)


def test_a_replaced_model_lets_its_threads_go(folder: Path, opened: Opened) -> None:
    def threads() -> int:
        return sum(thread.name.startswith(NAME) for thread in threading.enumerate())

    async def work() -> None:
        store = opened(folder)
        await store.refresh()
        before = threads()
        for turn in range(3):
            edit(folder / NAME / "1", made_with={"turn": str(turn)})
            await store.refresh()
        for _ in range(100):
            if threads() == before:
                return
            await asyncio.sleep(0.05)
        assert threads() == before

    run(work)
