"""Chart, kustomize and KServe: sound by their schemas, the same by either way, and safe."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics.series import METRICS
from service.settings import Settings
from tests.helpers.manifests import (
    DEPLOY,
    Manifest,
    check,
    container_of,
    environment_of,
    of_chart,
    of_kustomize,
    parse,
    pod_of,
)
from tests.helpers.pages import ROOT

VALUES = sorted((DEPLOY / "chart" / "values").glob("*.yaml"))
PLAIN = [
    DEPLOY / "kubernetes" / "fill-store.yaml",
    DEPLOY / "kserve" / "serving-runtime.yaml",
    DEPLOY / "kserve" / "inference-service.yaml",
]


def values_of(path: Path) -> Manifest:
    values: Manifest = yaml.safe_load(path.read_text())
    return values


# every way to get objects, by name
SOURCES: dict[str, Any] = {
    "chart": lambda: of_chart({}),
    **{f"chart/{p.stem}": (lambda p=p: of_chart(values_of(p))) for p in VALUES},
    **{
        f"kustomize/{name}": (lambda name=name: of_kustomize(name))
        for name in ("base", "cpu", "gpu")
    },
    **{p.stem: (lambda p=p: parse([p.read_text()])) for p in PLAIN},
}
every_source = pytest.mark.parametrize("source", SOURCES)


@every_source
def test_an_api_server_takes_every_object(source: str) -> None:
    for each in SOURCES[source]().values():
        check(each)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "hostname_"), "a"),
        ("Deployment", ("spec", "replicas"), "two"),
        ("NetworkPolicy", ("spec", "podselector"), {}),
        ("PodDisruptionBudget", ("spec", "maxUnavailable"), []),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), "8"),
        ("ServiceMonitor", ("spec", "endpoint"), []),
        ("ServiceMonitor", ("spec", "endpoints"), [{"interval": "soon"}]),
        ("PrometheusRule", ("spec", "groups"), [{"name": "a", "rules": [{"alert": "A"}]}]),
        ("ServingRuntime", ("spec", "containers"), [{"image": "a"}]),
        ("ServingRuntime", ("spec", "multimodel"), False),
        ("InferenceService", ("spec", "predictor", "model", "modelFormat"), "bijecta"),
        ("InferenceService", ("spec", "predictor", "storageUri"), "pvc://a"),
    ],
)
def test_the_check_finds_what_is_wrong(kind: str, path: tuple[str, ...], value: Any) -> None:
    sources = of_kustomize("cpu") | parse([p.read_text() for p in PLAIN])
    (each,) = [each for each in sources.values() if each["kind"] == kind]
    place = each
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(Exception, match=r"ValidationError|valid|required|is not|match") as caught:
        check(each)
    assert type(caught.value).__name__ == "ValidationError"


@pytest.mark.parametrize("name", ["base", *(path.stem for path in VALUES)])
def test_kustomize_and_the_chart_make_the_same_objects(name: str) -> None:
    values = {} if name == "base" else values_of(DEPLOY / "chart" / "values" / f"{name}.yaml")
    made = of_kustomize(name), of_chart(values)
    for objects in made:  # kustomize puts the variables of an overlay first
        container_of(objects["Deployment", "bijecta"])["env"].sort(key=lambda each: each["name"])
    assert made[0] == made[1], "`make manifests` writes the base"


def test_what_follows_from_the_chart_is_written() -> None:
    pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
    from deploy.manifests import written

    for path, text in written().items():
        assert path.read_text() == text, f"run `make manifests`: {path.relative_to(ROOT)}"


def test_every_setting_that_is_named_is_one() -> None:
    known = {f"BIJECTA_{name.upper()}" for name in Settings.model_fields}
    files = [p for p in DEPLOY.rglob("*") if p.is_file() and p.suffix not in (".pyc", ".json")]
    named: set[str] = set()
    for path in [*files, ROOT / "docker-compose.yml"]:
        named |= set(re.findall(r"\bBIJECTA_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
    assert "BIJECTA_STORE" in named
    assert {name.partition("__")[0] for name in named} <= known


@every_source
def test_pods_keep_the_restricted_standard(source: str) -> None:
    """Pod Security Standards, "restricted"; a read-only root, and no token, beyond it."""
    for each in SOURCES[source]().values():
        if (pod := pod_of(each)) is None:
            continue
        own = container_of(each)
        context = pod.get("securityContext", {}) | own["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {"cpu", "memory"} <= own["resources"]["limits"].keys()
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        if each["kind"] != "ServingRuntime":  # KServe's predictor says so
            assert pod["enableServiceLinks"] is False
            assert pod["automountServiceAccountToken"] is False


def test_kserve_sets_no_variables_of_services_and_gives_time_to_end() -> None:
    runtime, service = (
        next(iter(parse([path.read_text()]).values()))
        for path in (
            DEPLOY / "kserve" / f for f in ("serving-runtime.yaml", "inference-service.yaml")
        )
    )
    predictor = service["spec"]["predictor"]
    variables = environment_of(runtime)
    needed = int(variables["BIJECTA_DRAIN_SECONDS"]) + int(variables["BIJECTA_STOP_SECONDS"])
    assert predictor["enableServiceLinks"] is False
    assert predictor["terminationGracePeriodSeconds"] > needed
    assert predictor["model"]["runtime"] == runtime["metadata"]["name"]
    formats = [each["name"] for each in runtime["spec"]["supportedModelFormats"]]
    assert predictor["model"]["modelFormat"]["name"] in formats
    (port,) = container_of(runtime)["ports"]
    assert variables["BIJECTA_PORT"] == str(port["containerPort"])


@pytest.mark.parametrize(
    ("drain", "stop", "before"), [(0, 0, 0), (10, 30, 5), (2.5, 1, 7), (600, 3600, 60)]
)
def test_a_pod_has_time_to_end(drain: float, stop: int, before: int) -> None:
    settings = {"BIJECTA_DRAIN_SECONDS": drain, "BIJECTA_STOP_SECONDS": stop}
    objects = of_chart({"settings": settings, "preStopSeconds": before})
    deployment = objects["Deployment", "bijecta"]
    own = container_of(deployment)
    said = (
        own.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    )
    assert said == ["sleep", str(before)]
    variables = environment_of(deployment)
    needed = float(variables["BIJECTA_DRAIN_SECONDS"]) + float(variables["BIJECTA_STOP_SECONDS"])
    assert pod_of(deployment)["terminationGracePeriodSeconds"] >= before + needed + 1  # type: ignore[index]


@every_source
def test_probes_and_monitors_ask_what_the_server_answers(source: str, routes: set[str]) -> None:
    for each in SOURCES[source]().values():
        if pod_of(each) is not None:
            own = container_of(each)
            probes = (
                [own[f"{p}Probe"]["httpGet"] for p in ("startup", "liveness", "readiness")]
                if ("livenessProbe" in own)
                else []
            )
            ports = {value for port in own.get("ports", ()) for value in port.values()}
            assert all(probe["path"] in routes and probe["port"] in ports for probe in probes)
            assert probes or each["kind"] == "Pod"
        elif each["kind"] == "ServiceMonitor":
            assert [endpoint["path"] for endpoint in each["spec"]["endpoints"]] == ["/metrics"]


@pytest.mark.parametrize("name", ["bijecta", "flows", "a" * 53])
def test_selectors_find_the_pods(name: str) -> None:
    """Also under other names of a release, of which several may share a namespace."""
    everything: Manifest = {"monitoring": {"enabled": True}, "autoscaling": {"enabled": True}}
    by_kind = {kind: each for (kind, _), each in of_chart(everything, name).items()}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels, port = pod["metadata"]["labels"], container_of(by_kind["Deployment"])["ports"][0]
    assert labels["app.kubernetes.io/instance"] == name
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert by_kind["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    service = by_kind["Service"]
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    monitor = by_kind["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    scaled = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert scaled["name"] == by_kind["Deployment"]["metadata"]["name"]


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_a_metric() -> None:
    adapter = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    assert series in {each.name for each in METRICS}
    assert re.fullmatch(rule["name"]["matches"], series)
    for source in ("chart/cpu", "chart/gpu", "kustomize/cpu", "kustomize/gpu"):
        objects = SOURCES[source]()
        scaler, deployment = (
            objects[kind, "bijecta"] for kind in ("HorizontalPodAutoscaler", "Deployment")
        )
        (metric,) = scaler["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
        capacity = int(environment_of(deployment)["BIJECTA_QUEUE_ROWS"])
        assert int(metric["pods"]["target"]["averageValue"]) == capacity // 4
        assert "replicas" not in deployment["spec"]  # the two would undo each other's work


def test_the_rules_are_those_of_prometheus() -> None:
    rule = of_kustomize("cpu")["PrometheusRule", "bijecta"]
    assert rule["spec"] == yaml.safe_load((DEPLOY / "alerts.yml").read_text())


def test_the_dashboard_is_that_of_grafana() -> None:
    from deploy.dashboard import dashboard

    shown = of_kustomize("cpu")["ConfigMap", "bijecta-dashboard"]
    assert json.loads(shown["data"]["bijecta.json"]) == dashboard()
    assert shown["metadata"]["labels"] == {"grafana_dashboard": "1"}  # of Grafana's own chart
    assert not any(kind == "ConfigMap" for kind, _ in of_chart({}))


def test_a_gpu_is_asked_for_and_freed_before_it_is_needed_again() -> None:
    deployment = of_chart({"gpus": 2})["Deployment", "bijecta"]
    own = container_of(deployment)
    assert own["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert own["image"] == "bijecta:gpu"
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert (
        "nvidia.com/gpu"
        not in container_of(of_chart({})["Deployment", "bijecta"])["resources"]["limits"]
    )
