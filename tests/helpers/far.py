"""A store elsewhere, in fsspec's memory, and a folder that is kept like it."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec

from service import bundle
from service.bundle import MANIFEST, NAMES, Names
from service.remote.address import Address
from service.remote.files import RemoteFiles
from service.remote.mirror import Mirror
from tests.helpers.tiny import write_tiny_bundle

NAME = "tiny"

_counted = itertools.count()


class Far:
    """The store, its folder, and what was told of it.

    Args:
        folder: for both.
    """

    def __init__(self, folder: Path) -> None:
        self.root = f"/far-{next(_counted)}"
        self.files = fsspec.filesystem("memory")
        self.cache = folder / "cache"
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._pattern = write_tiny_bundle(folder / "pattern", NAME)
        self.mirror = self.opened()

    def opened(self, files: RemoteFiles | None = None) -> Mirror:
        """The mirror of another process."""
        remote = files or RemoteFiles(Address("memory", self.root), self.files)
        return Mirror(remote, self.cache, lambda event, **said: self.told.append((event, said)))

    def bundle(self, name: str, version: int, by: str = "") -> dict[str, bytes]:
        """The files of a version, the manifest last.

        Args:
            name, version: of it.
            by: who made it; makes it another.
        """
        manifest = json.loads((self._pattern / MANIFEST).read_text())
        manifest |= {"name": name, "version": version, "made_with": {"by": by}}
        graphs = {file: (self._pattern / file).read_bytes() for file in manifest["files"]}
        graphs["encode.onnx"] += f"{name} {version} {by}".encode()  # the other is of all the same
        manifest["files"] = {f: hashlib.sha256(graphs[f]).hexdigest() for f in graphs}
        manifest["checksum"] = bundle.checksum(manifest)
        return graphs | {MANIFEST: json.dumps(manifest).encode()}

    def put(self, name: str, version: int, by: str = "", *, only: int | None = None) -> None:
        """Upload a version, or the first of its files."""
        for file, content in list(self.bundle(name, version, by).items())[:only]:
            self.files.pipe_file(f"{self.root}/{name}/{version}/{file}", content)

    def change(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file."""
        content = self.files.cat_file(f"{self.root}/{path}")
        self.files.pipe_file(f"{self.root}/{path}", change(content))

    def remove(self, path: str) -> None:
        self.files.rm(f"{self.root}/{path}", recursive=True)

    def call(self, name: str, **names: Any) -> None:
        """Say what a model's names mean."""
        content = Names.model_validate(names).to_json()
        self.files.pipe_file(f"{self.root}/{name}/{NAMES}", content)

    def held(self) -> dict[tuple[str, int], str]:
        """Who made each version that the folder has; all of them are whole."""
        found = {}
        for folder in (self.cache / "store").iterdir():
            for version in bundle.versions(folder):
                manifest = bundle.read(folder / str(version))
                found[folder.name, version] = manifest.made_with["by"]
        return found

    def names(self, name: str) -> Names:
        """What the folder says of a model's names."""
        return bundle.read_names(self.cache / "store" / name)

    def events(self, event: str) -> list[Any]:
        """What was told of one kind, of which versions, and why."""
        return [(s["where"], s.get("reason", "")) for e, s in self.told if e == event]
