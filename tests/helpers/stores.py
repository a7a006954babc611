"""Stores that change while a server runs."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.bundle import files as bundle
from service.store import Store


def edit_manifest(change: dict[str, Any]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text()) | change
        manifest["checksum"] = bundle.checksum(manifest)
        (path / "manifest.json").write_text(json.dumps(manifest))

    return edit


NAME = "moons-maf"


@pytest.fixture
def folder(store: Path, tmp_path: Path) -> Path:
    """A store of its own, with one model in one version."""
    shutil.copytree(store / NAME, tmp_path / NAME)
    return tmp_path


def edit(path: Path, **change: Any) -> None:
    manifest = json.loads((path / "manifest.json").read_text()) | change
    manifest["checksum"] = bundle.checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def write_additions(path: Path, content: Any) -> None:
    """Write a bundle's `additions.json`, and list it; bytes are written as they are."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    (path / bundle.ADDITIONS).write_bytes(raw)
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {bundle.ADDITIONS: bundle.sha256(path / bundle.ADDITIONS)})


def add_version(folder: Path, version: int, name: str = NAME, source: int = 1) -> Path:
    """Another version of a model, in place at once, as an export leaves it."""
    made = folder / f".made-{version}"
    shutil.copytree(folder / NAME / str(source), made)
    edit(made, version=version, name=name)
    (folder / name).mkdir(exist_ok=True)
    return made.rename(folder / name / str(version))


Opened = Callable[..., Store]
"""What opens a store of a folder, closed after the test."""


def run_within(work: Callable[[], Awaitable[None]], seconds: float = 60) -> None:
    """Run a coroutine to its end, which has to come."""

    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await work()

    asyncio.run(limited())


def names(store: Store) -> set[str]:
    """The models that are loaded."""
    return {model.manifest.name for model in store.models}
