"""Values of the chart: bad ones are refused, good ones arrive at the server as they were meant."""

import json
from typing import Any

import pytest

from service.settings import Settings
from tests.helpers.manifests import (
    DEPLOY,
    Manifest,
    check,
    container_of,
    environment_of,
    of_chart,
)

helm_python = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": -1}, "replicas"),
        ({"replicas": "two"}, "replicas"),
        ({"gpus": 0.5}, "gpus"),
        ({"image": {"name": "bijecta"}}, "name"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"settings": {"BIJECTA_MAX_ROW": 10}}, "BIJECTA_MAX_ROW"),
        ({"settings": {"MAX_ROWS": 10}}, "MAX_ROWS"),
        ({"settings": {"BIJECTA_MAX_ROWS": 0}}, "BIJECTA_MAX_ROWS"),
        ({"settings": {"BIJECTA_MAX_ROWS": "many"}}, "BIJECTA_MAX_ROWS"),
        ({"settings": {"BIJECTA_WATCH": "perhaps"}}, "BIJECTA_WATCH"),
        ({"settings": {"BIJECTA_STOP_SECONDS": 1.5}}, "BIJECTA_STOP_SECONDS"),
        ({"settings": {"BIJECTA_PORT": 9000}}, "BIJECTA_PORT"),
        ({"settings": {"BIJECTA_STORE": "/models"}}, "BIJECTA_STORE"),
        ({"settings": {"BIJECTA_MODELS__A__THREAD": 2}}, "BIJECTA_MODELS__A__THREAD"),
        ({"keys": {"secret": "", "insecure": False}}, "keys"),
        ({"keys": {"secret": "some", "insecure": True}}, "keys"),
        ({"keys": {"secret": "Not_A_Name"}}, "secret"),
        ({"trustedKeys": {"secret": "keys"}}, "secret"),
        ({"settings": {"BIJECTA_TRUSTED_KEYS": "/keys"}}, "BIJECTA_TRUSTED_KEYS"),
        ({"store": {"claim": ""}}, "claim"),
        ({"store": {"size": "10 GB"}}, "size"),
        ({"store": {"url": "ftp://store"}}, "url"),
        ({"store": {"url": "https://user:word@example/store"}}, "url"),
        ({"store": {"accessMode": "ReadMostly"}}, "accessMode"),
        ({"autoscaling": {"queuePercent": 0}}, "queuePercent"),
        ({"autoscaling": {"minReplicas": 0}}, "minReplicas"),
        ({"monitoring": {"interval": "soon"}}, "interval"),
        ({"networkPolicy": {"from": []}}, "from"),
        ({"networkPolicy": {"from": [{}]}}, "from"),
        ({"resources": {"limits": {"cpu": "two"}}}, "cpu"),
        ({"preStopSeconds": "5s"}, "preStopSeconds"),
    ],
)
def test_bad_values_are_refused_by_name(values: Manifest, named: str) -> None:
    with pytest.raises(helm_python.HelmError, match=named):
        of_chart(values)


def test_more_pods_at_least_than_at_most_are_refused() -> None:
    with pytest.raises(helm_python.HelmError, match="minReplicas is 9, more than maxReplicas, 8"):
        of_chart({"autoscaling": {"enabled": True, "minReplicas": 9}})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_sample_rows", 10_000_000),
        ("queue_rows", 1),
        ("drain_seconds", 2.5),
        ("log_repeat_seconds", 0),
        ("watch", False),
        ("watch_threshold", 1e6),
        ("allowed_hosts", "flows.example, *.flows.example"),
        ("default_model", "wine@stable"),
        ("models", {"digits-maf": {"threads": 2}}),
    ],
)
def test_a_setting_arrives_as_it_was_meant(
    field: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helm reads every number as one of floating point: 10000000 would arrive as 1e+07."""
    objects = of_chart({"settings": {f"BIJECTA_{field.upper()}": value}})
    for name, text in environment_of(objects["Deployment", "bijecta"]).items():
        monkeypatch.setenv(name, text)
    settings = Settings()
    assert getattr(settings, field) == value
    assert (settings.host, settings.port, str(settings.store)) == ("0.0.0.0", 8000, "/store")


def test_a_model_has_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = of_chart({"settings": {"BIJECTA_MODELS__DIGITS_MAF__THREADS": 2}})
    for name, text in environment_of(objects["Deployment", "bijecta"]).items():
        monkeypatch.setenv(name, text)
    assert json.dumps(Settings().models) == '{"digits_maf": {"threads": "2"}}'


def test_keys_are_of_a_secret_or_everybody_may_ask() -> None:
    keys = environment_of(of_chart({})["Deployment", "bijecta"])
    assert keys["BIJECTA_KEYS"] == "/keys/keys"
    assert "BIJECTA_INSECURE" not in keys
    values = {"keys": {"secret": "", "insecure": True}, "monitoring": {"enabled": True}}
    objects = of_chart(values)
    nobody = environment_of(objects["Deployment", "bijecta"])
    assert nobody["BIJECTA_INSECURE"] == "true"
    assert "BIJECTA_KEYS" not in nobody
    assert "authorization" not in objects["ServiceMonitor", "bijecta"]["spec"]["endpoints"][0]


def test_bundles_are_signed_where_keys_are_trusted() -> None:
    assert "BIJECTA_TRUSTED_KEYS" not in environment_of(of_chart({})["Deployment", "bijecta"])
    objects = of_chart({"trustedKeys": {"configMap": "release-keys"}})
    deployment = objects["Deployment", "bijecta"]
    folder, _, file = environment_of(deployment)["BIJECTA_TRUSTED_KEYS"].rpartition("/")
    assert file == "trusted.pem"
    mount = {"name": "trusted", "mountPath": folder, "readOnly": True}
    assert mount in container_of(deployment)["volumeMounts"]
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert {"name": "trusted", "configMap": {"name": "release-keys"}} in volumes
    check(deployment)


def test_a_claim_that_is_there_is_not_made() -> None:
    objects = of_chart({"store": {"claim": "mine", "size": ""}})
    assert not any(kind == "PersistentVolumeClaim" for kind, _ in objects)
    (volume, *_) = objects["Deployment", "bijecta"]["spec"]["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}


def test_a_store_elsewhere_is_reached_with_its_credentials_and_has_a_cache() -> None:
    store = {"url": "s3://bucket/store", "credentials": "s3-credentials"}
    objects = of_chart({"store": store})
    deployment = objects["Deployment", "bijecta"]
    assert environment_of(deployment)["BIJECTA_STORE"] == "s3://bucket/store"
    own = container_of(deployment)
    assert own["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]
    assert {"name": "cache", "mountPath": "/cache"} in own["volumeMounts"]
    assert not any(kind == "PersistentVolumeClaim" for kind, _ in objects)
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert not any("persistentVolumeClaim" in volume for volume in volumes)
    (out,) = objects["NetworkPolicy", "bijecta"]["spec"]["egress"]
    assert {port["port"] for port in out["ports"]} == {53, 443}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "XDG_CACHE_HOME=/cache" in dockerfile  # where the image has its cache
    for each in objects.values():
        check(each)


def test_grpc_is_reached_where_it_has_a_port() -> None:
    objects = of_chart({"settings": {"BIJECTA_GRPC_PORT": 9000}})
    named = {port["name"]: port for port in container_of(objects["Deployment", "bijecta"])["ports"]}
    assert named["grpc"]["containerPort"] == 9000
    (_, port) = objects["Service", "bijecta"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (9000, "grpc")
    ports = objects["NetworkPolicy", "bijecta"]["spec"]["ingress"][0]["ports"]
    assert {"port": "grpc"} in ports
    for each in objects.values():
        check(each)


def test_the_chart_has_nothing_that_helm_warns_of() -> None:
    from deploy.manifests import CHART

    found = helm_python.lint(str(CHART))
    assert found["errors"] == []
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]
