"""Whatever is exported, named, taken back and removed: names mean what the page says.

The page (service/README.md, "Versions and their names") is written once more here, as a class of
a few lines, and compared with what the commands leave in the folder and with what a server answers.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import bundle
from service.bundle import BundleError
from service.errors import UnknownModelError
from service.store import Store
from service.store_folder import (
    Keep,
    read_versions,
    removable,
    remove,
    remove_alias,
    roll_back,
    set_alias,
)
from tests.helpers.examples import examples
from tests.helpers.stores import Opened
from tests.helpers.tiny import write_tiny_bundle

NAME = "wine"


@dataclass
class Page:
    """What the page says.

    Args:
        versions: that there are.
        broken: those of them whose files are damaged.
        withdrawn: those that were taken back.
        aliases: and the versions that they point to.
        given: the largest number that was ever given.
    """

    versions: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    aliases: dict[str, int] = field(default_factory=dict)
    given: int = 0

    @property
    def whole(self) -> set[int]:
        return self.versions - self.broken

    @property
    def current(self) -> int | None:
        return max(self.whole - self.withdrawn, default=None)

    def export(self) -> None:
        self.given += 1
        self.versions.add(self.given)

    def roll_back(self, to: int | None) -> None:
        if to is None:
            assert self.current is not None
            to = max(v for v in self.whole - self.withdrawn if v < self.current)
        assert to in self.whole
        self.withdrawn = (self.withdrawn - {to}) | {v for v in self.versions if v > to}

    def prune(self, keep: int) -> None:
        newest = set(sorted(self.versions)[-keep:])
        kept = newest | set(self.aliases.values()) | {self.current}
        self.versions &= kept
        self.broken &= kept
        self.withdrawn &= kept


Step = tuple[str, int]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["export", "break", "back", "to", "to", "latest", "a", "b", "-a", "keep"]),
        st.integers(1, 5),
    ),
    min_size=8,
    max_size=25,
)


def take(step: Step, store: Path, page: Page) -> None:
    """Take a step in a folder and on the page; one is refused where the other cannot be done."""
    kind, number = step
    folder = store / NAME

    def refused(change: Callable[[], object]) -> None:
        before = bundle.read_names(folder)
        with pytest.raises(BundleError):
            change()
        assert bundle.read_names(folder) == before

    match kind:
        case "export":
            write_tiny_bundle(store, NAME, bundle.next_version(folder))
            page.export()
        case "break" if page.versions:
            version = sorted(page.versions)[number % len(page.versions)]
            (folder / str(version) / "decode.onnx").write_bytes(b"damaged")
            page.broken.add(version)
        case "back" | "to" | "latest" | "a" | "b" | "-a" if not page.versions:
            with pytest.raises(BundleError, match="there is no model"):
                roll_back(store, NAME, None)
        case "back":
            current = page.current
            if current is None or not any(v < current for v in page.whole - page.withdrawn):
                refused(lambda: roll_back(store, NAME, None))
            else:
                change = roll_back(store, NAME, None)
                page.roll_back(None)
                assert (change.before, change.after) == (current, page.current)
        case "to" if number in page.whole:
            assert roll_back(store, NAME, number).after == number
            page.roll_back(number)
        case "to":
            refused(lambda: roll_back(store, NAME, number))
        case "latest":
            page.withdrawn.clear()
            assert roll_back(store, NAME, "latest").after == page.current
        case "a" if page.current is None:
            refused(lambda: set_alias(store, NAME, "a", None))
        case "a":
            set_alias(store, NAME, "a", None)
            page.aliases["a"] = page.current or 0
        case "b" if number in page.whole:
            set_alias(store, NAME, "b", number)
            page.aliases["b"] = number
        case "b":
            refused(lambda: set_alias(store, NAME, "b", number))
        case "-a" if "a" in page.aliases:
            remove_alias(store, NAME, "a")
            del page.aliases["a"]
        case "-a":
            refused(lambda: remove_alias(store, NAME, "a"))
        case "keep":
            keep = Keep(number, 0)
            assert not any(r.reason for r in remove(folder, removable(folder, keep), keep))
            page.prune(number)


def check_folder(store: Path, page: Page) -> None:
    folder = store / NAME
    names = bundle.read_names(folder)
    listed = list(read_versions(folder, names))
    assert [v.number for v in listed] == sorted(page.versions, reverse=True)
    assert [v.number for v in listed if v.is_current] == [v for v in [page.current] if v]
    assert {v.number for v in listed if v.is_withdrawn} == page.withdrawn
    assert {v.number for v in listed if v.problem} == page.broken
    assert {a: v.number for v in listed for a in v.aliases} == page.aliases == names.aliases
    if page.versions:
        assert {path.name for path in folder.iterdir()} - {"names.json"} == {
            str(version) for version in page.versions
        }


@examples(30)
@given(STEPS)
def test_a_folder_says_what_the_page_says(steps: list[Step]) -> None:
    store, page = Path(tempfile.mkdtemp()), Page()
    try:
        (store / NAME).mkdir()
        for step in steps:
            take(step, store, page)
            check_folder(store, page)
    finally:
        shutil.rmtree(store)


@pytest.mark.parametrize("seed", range(2))
def test_a_server_answers_what_the_page_says(tmp_path: Path, opened: Opened, seed: int) -> None:
    """A version that is damaged after it was loaded goes on answering, so none is damaged here."""
    draw = random.Random(seed)
    kinds = ["export", "export", "back", "to", "latest", "a", "b", "-a", "keep"]
    page = Page()

    async def work() -> None:
        store: Store = opened(tmp_path)
        for _ in range(3):
            take(("export", 0), tmp_path, page)
        for _ in range(15):
            take((draw.choice(kinds), draw.randint(1, 6)), tmp_path, page)
            await store.refresh()
            await store.refresh()  # what is gone is missed twice
            await check_store(store, page)

    asyncio.run(work())


async def check_store(store: Store, page: Page) -> None:
    meant = {NAME: page.current} | {f"{NAME}@{a}": v for a, v in page.aliases.items()}
    for name, version in meant.items():
        with await store.get(name, None) as model:
            assert model.manifest.version == version, name
    for version in page.versions:
        with await store.get(NAME, version) as model:
            assert model.manifest.version == version
    for name in {f"{NAME}@a", f"{NAME}@b"} - meant.keys():
        with pytest.raises(UnknownModelError, match="has no alias"):
            await store.get(name, None)
    assert {m.manifest.version for m in store.models} == page.versions
