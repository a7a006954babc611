"""Write the page of third-party notices to standard output, from what is installed.

    python deploy/notices.py > new.md, which then replaces THIRD_PARTY_NOTICES.md

It needs an environment with the extras `train`, `tensorboard` and `arrow`, and no network. Of a
package of the images that is not installed, it repeats what the page says.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE_FILE = ROOT / "THIRD_PARTY_NOTICES.md"

# What onnxruntime-gpu[cuda,cudnn] brings: in the GPU image, and on no machine without a GPU.
NVIDIA = re.compile("nvidia-(?!ml-py)")
NVIDIA_LICENCE = "NVIDIA Software License Agreement (proprietary)"

PAGE = """# Third-party notices

Bijecta is under the Apache License 2.0. It uses the packages below, which pip installs under
their own licences; none of them is part of this repository. Each package holds the text of its
licence and its own notices. The images `cpu` and `gpu` of `deploy/` hold the packages marked
*serving*, and `train` those of the extra `train` too, in the versions of
[deploy/locks](deploy/locks). *training* is what the extras `train` and `tensorboard` need,
*client* what `bijecta-client` needs. PyTorch for CUDA brings further libraries of NVIDIA.

`tests/deploy/schemas` holds schemas of Kubernetes objects, two made from the types of the KServe
Python SDK 0.21.0 (kserve, Apache-2.0, the KServe authors) and two from those of the Prometheus
Operator 0.80.1 (cloudcoil-models-prometheus-operator 0.80.1.0, Apache-2.0, its authors). The one of
Grafana's dashboards is made from the types of @grafana/schema 13.2.3 (Apache-2.0, Grafana Labs).

`service/playground/docs` holds two files of swagger-ui-dist 5.35.0 (npm; Apache-2.0, SmartBear
Software Inc.) as they are, with its licence and those of what it is bundled from.
`service/playground/static` holds two files of uplot 1.6.32 (npm; MIT, Leon Sorokin) with its
licence.

`make notices` writes this page.

| package | licence | for |
|---|---|---|
"""


def requirements(folder: Path, *extras: str) -> list[str]:
    """What a distribution of this repository needs, with some of its extras."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


def closure(lines: Iterable[str]) -> set[str]:
    """The names of the packages that these requirements install here, and of all they need."""
    names: set[str] = set()
    waiting = [(Requirement(line), "") for line in lines]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            needed = list(map(Requirement, distribution(name).requires or ()))
        except PackageNotFoundError:
            if not NVIDIA.match(name):
                raise
            needed = []
        if name not in names or requirement.extras:
            names.add(name)
            waiting += [(one, e) for one in needed for e in ("", *requirement.extras)]
    return names


def licence(name: str) -> str:
    """The licence that a package states: an SPDX expression, its classifiers, or a line."""
    if NVIDIA.match(name):
        return NVIDIA_LICENCE
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        stated = re.search(rf"^\| {re.escape(name)} \| (.*) \| .* \|$", PAGE_FILE.read_text(), re.M)
        if stated is None:
            raise
        return stated[1]
    if expressions := metadata.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = metadata.get_all("Classifier") or []
    names = (c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: "))
    lines = (metadata.get_all("License") or [""])[0].strip().splitlines()
    return ", ".join(name for name in names if name != "OSI Approved") or lines[0]


def pinned() -> Iterator[str]:
    """The packages of the images that serve."""
    for lock in ("cpu.txt", "gpu.txt"):
        for line in (ROOT / "deploy" / "locks" / lock).read_text().splitlines():
            if match := re.match(r"([\w.-]+)==", line):
                yield canonicalize_name(match[1])


def main() -> None:
    """Print the page."""
    print(PAGE, end="")
    uses = {
        "serving": closure(requirements(ROOT, "arrow")) | set(pinned()),
        "training": closure(requirements(ROOT, "train", "tensorboard")),
        "client": closure(requirements(ROOT / "service" / "client")),
    }
    # the two are one program, and only one of them can be installed
    uses["serving"] -= {"onnxruntime"}
    for name in sorted(set().union(*uses.values())):
        users = ", ".join(use for use, names in uses.items() if name in names)
        print(f"| {name} | {licence(name)} | {users} |")


if __name__ == "__main__":
    main()
