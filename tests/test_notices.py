"""The page of third-party notices names what the images hold and what the installs ask for."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def licences(page: str, use: str) -> dict[str, str]:
    """Licence by package, of those for one use."""
    rows = re.findall(r"^\| (\S+) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    return {name: licence for name, licence, uses in rows if use in uses}


def canonical(names: list[str]) -> set[str]:
    return {name.lower().replace("_", "-") for name in names} - {"onnxruntime"}  # or its twin


def asked_for(project: Path, *extras: str) -> set[str]:
    """The names of the direct requirements."""
    content = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    optional = content.get("optional-dependencies", {})
    lines = [*content["dependencies"], *(line for extra in extras for line in optional[extra])]
    return canonical([re.split(r"[^\w.-]", line)[0] for line in lines])


@pytest.fixture(scope="module", params=["page", "made anew"])
def page(request: pytest.FixtureRequest) -> str:
    if request.param == "page":
        return (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    script = [sys.executable, str(ROOT / "deploy" / "notices.py")]
    return subprocess.run(script, capture_output=True, text=True, check=True).stdout


def test_it_names_every_package_with_its_licence(page: str) -> None:
    locks = [(ROOT / "deploy" / "locks" / name).read_text() for name in ("cpu.txt", "gpu.txt")]
    pins = re.findall(r"^([\w.-]+)==", "".join(locks), re.MULTILINE)
    for use, needed in {
        "serving": canonical(pins) | asked_for(ROOT, "arrow"),
        "training": asked_for(ROOT, "train", "tensorboard"),
        "client": asked_for(ROOT / "service" / "client"),
    }.items():
        named = licences(page, use)
        assert needed - named.keys() == set(), f"run `make notices`: {use}"
        assert [name for name, licence in named.items() if not licence.strip()] == []
