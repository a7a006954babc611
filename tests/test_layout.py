"""The folders are rooms one finds one's way in."""

from pathlib import Path

import pytest

from tests.helpers.pages import ROOT

MAX_MODULES = 12

FOLDERS = sorted(
    {
        path.parent
        for room in ("models", "training", "service")
        for path in ROOT.glob(f"{room}/**/*.py")
    }
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_has_few_modules_of_its_own(folder: Path) -> None:
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MAX_MODULES, sorted(modules)
