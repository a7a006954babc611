"""The images: what they install is pinned, with hashes, and fits pyproject.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "locks"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = re.findall(
    r"--extra (\S+)", re.findall(r'^extras="(.*)"', (LOCKS / "lock.sh").read_text(), re.M)[0]
)

# The machine of the images.
LINUX = {
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def pins(lock: str) -> dict[str, str]:
    """Version by package of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (LOCKS / lock).read_text(), re.MULTILINE))


def requirements(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for on the machine of the images."""
    optional = PYPROJECT["project"]["optional-dependencies"]
    lines = [*PYPROJECT["project"]["dependencies"], *(r for e in extras for r in optional[e])]
    parsed = map(Requirement, lines)
    return [each for each in parsed if each.marker is None or each.marker.evaluate(LINUX)]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("cpu.txt", EXTRAS),
        ("gpu.txt", [*EXTRAS, "cuda", "nvml"]),
        ("train.txt", [*EXTRAS, "train"]),
    ],
)
def test_a_lock_fits_what_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    pinned = pins(lock)
    for each in requirements(*extras):
        name = canonicalize_name(each.name)
        if lock != "gpu.txt":
            name = canonicalize_name(name.replace("onnxruntime-gpu", "onnxruntime"))
        if name == "torch":  # of an index of its own
            assert name not in pinned
            continue
        assert name in pinned, f"{lock} lacks {name}: run `make lock`"
        assert each.specifier.contains(pinned[name]), f"{lock}: {each}: run `make lock`"


def test_the_lock_of_the_build_fits_the_build_system() -> None:
    (requirement,) = map(Requirement, PYPROJECT["build-system"]["requires"])
    assert requirement.specifier.contains(pins("build.txt")[requirement.name]), "run `make lock`"


@pytest.mark.parametrize("lock", [path.name for path in sorted(LOCKS.glob("*.txt"))])
def test_every_pin_has_hashes_and_pip_asks_for_them(lock: str) -> None:
    content = (LOCKS / lock).read_text().replace("\\\n", "")
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"\S+==\S+( +--hash=sha256:[0-9a-f]{64})+", line) for line in lines)
    installs = re.findall(rf"^RUN pip install (.*{lock})", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 1
    assert installs[0].startswith("--require-hashes --only-binary :all:")


def test_the_locks_have_one_version_of_a_package() -> None:
    versions: dict[str, set[str]] = {}
    for lock in ("cpu.txt", "gpu.txt", "train.txt", "build.txt"):
        for name, version in pins(lock).items():
            versions.setdefault(name.replace("onnxruntime-gpu", "onnxruntime"), set()).add(version)
    assert {name: each for name, each in versions.items() if len(each) > 1} == {}


def test_the_labels_state_the_version_of_the_project() -> None:
    (version,) = re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert version == PYPROJECT["project"]["version"]
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    final = {target: stage for stage in stages for target in re.findall(r"AS (\w+)\n", stage)}
    for target in ("cpu", "train", "gpu"):
        assert re.search(r"^USER 10001$", final[target], re.MULTILINE)
        for label in ("version", "revision", "source"):
            assert f"org.opencontainers.image.{label}=" in final[target]
