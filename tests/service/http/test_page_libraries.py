"""Libraries of the pages are as npm has them, with their licences, and on the notices."""

import hashlib
from pathlib import Path

import pytest

from service.playground.assets import DOCS_FOLDER, FOLDER
from tests.helpers.pages import ROOT

# Of files of `npm pack NAME@VERSION`: SHA-256.
LIBRARIES = {
    FOLDER / "uplot-1.6.32": {
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    },
    DOCS_FOLDER / "swagger-ui-dist-5.35.0": {
        "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
        "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
        "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
        "swagger-ui-bundle.js.LICENSE.txt": (
            "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb"
        ),
        "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    },
}


@pytest.mark.parametrize("folder", LIBRARIES, ids=lambda folder: folder.name)
def test_a_library_is_whole_and_named(folder: Path) -> None:
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert sums == LIBRARIES[folder]
    name, _, version = folder.name.rpartition("-")
    assert f"{name} {version} (" in (ROOT / "THIRD_PARTY_NOTICES.md").read_text()


def test_there_is_no_other_library() -> None:
    named = {page.parent / folder.name for page in LIBRARIES for folder in page.parent.glob("*-*")}
    assert named == {*LIBRARIES}
