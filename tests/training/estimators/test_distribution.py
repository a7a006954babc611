"""The estimators are a distribution of their own, and need Bijecta of their version."""

import tomllib

from tests.helpers.pages import ROOT


def test_it_needs_bijecta_of_the_same_version() -> None:
    folder = ROOT / "training" / "estimators"
    ours, whole = (
        tomllib.loads((path / "pyproject.toml").read_text())["project"] for path in (folder, ROOT)
    )
    assert ours["version"] == whole["version"]
    assert f"bijecta[train]=={whole['version']}" in ours["dependencies"]
