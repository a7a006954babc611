"""The recipes that come with Bijecta: what each learns from, and what its graphs must need."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.common.checkout import ROOT
from training.config import TYPED_FAMILIES

RECIPES = ROOT / "training" / "recipes"

SETS = ("bsds300", "cifar10", "fashion-mnist", "fsdd", "mnist")
"""Data sets, by which the names of recipes begin: folders that `tests.benchmarks.papers.data`
makes. Other recipes make their rows themselves."""

STEEP = {
    *("bsds300-cuda", "mnist-maf", "mnist-glow", "mnist-mintnet"),
    *("mnist-wavenet-cuda", "fsdd-wavenet"),
}
"""Recipes whose decode missed its bars in float32 when it was measured: exports of theirs that make
do with float32 measure something easier than what users have."""


@dataclass(frozen=True)
class Entry:
    """A recipe.

    Args:
        name: its name.
        data_set: one of `SETS`, or None.
        teacher: of a student, the recipe of its teacher.
    """

    name: str
    data_set: str | None
    teacher: str | None

    @classmethod
    def of(cls, path: Path) -> "Entry":
        """The recipe in a file."""
        name, text = path.stem, path.read_text(encoding="utf-8")
        data_set = next((each for each in SETS if f"{name}-".startswith(f"{each}-")), None)
        teacher = re.search(r"bijecta distill runs/(\S+) ", text)
        is_student = re.search(r"^\[distill\]", text, re.MULTILINE) is not None
        if is_student != (teacher is not None):
            raise ValueError(f"{path}: a student's recipe says how it is distilled")
        return cls(name, data_set, None if teacher is None else teacher[1])

    def lacks(self, data: Path) -> str | None:
        """What it lacks in a folder of data sets, for people; None if nothing."""
        if self.data_set is None:
            return None
        there = data / self.data_set
        is_there = any(there.iterdir()) if there.is_dir() else there.exists()
        return None if is_there else f"no {self.data_set} in {data}"


def entries(folder: Path = RECIPES) -> dict[str, Entry]:
    """All recipes of flows by name; `bench-tables` times those of tables."""
    paths = [
        path
        for path in sorted(folder.glob("*.toml"))
        if tomllib.loads(path.read_text(encoding="utf-8"))["flow"]["family"] not in TYPED_FAMILIES
    ]
    return {path.stem: Entry.of(path) for path in paths}
