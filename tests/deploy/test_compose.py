"""The compose file: what is set is passed on, and no container may do more than it must."""

import re
from pathlib import Path
from typing import Any

import pytest

from service.server import Server
from service.settings import Settings

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
SERVERS = ("bijecta", "bijecta-gpu")

# what the image says, as the port is published
OF_THE_IMAGE = {"host", "port"}

Service = dict[str, Any]


def with_defaults(text: str) -> str:
    """The file as Compose reads it where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE = yaml.safe_load(with_defaults((ROOT / "docker-compose.yml").read_text()))
SERVICES: dict[str, Service] = COMPOSE["services"]

every_service = pytest.mark.parametrize("name", SERVICES)


@pytest.mark.parametrize("name", SERVERS)
def test_every_setting_is_passed_on(name: str) -> None:
    passed_on = {each for each in SERVICES[name]["environment"] if each.startswith("BIJECTA_")}
    fields = Settings.model_fields.keys() - OF_THE_IMAGE
    assert passed_on == {f"BIJECTA_{field.upper()}" for field in fields}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_starts_with_what_the_file_sets(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, str(value))
    assert Server(Settings(device="cpu")).not_ready == "the models are still being loaded"


@every_service
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["pids_limit"] > 0
    assert re.fullmatch(r"\d+g", service["mem_limit"])
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "privileged" not in service


@every_service
def test_what_is_published_is_published_on_this_machine_alone(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert bool(ports) == (name != "train")


@pytest.mark.parametrize("name", [*SERVERS, "train"])
def test_what_is_built_here_runs_as_the_owner_of_its_volumes(name: str) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    ((owner, folders),) = re.findall(r"--owner (\d+) --group \d+ (.*)$", dockerfile, re.MULTILINE)
    assert SERVICES[name]["user"] == owner
    mounted = {mount.split(":")[1] for mount in SERVICES[name]["volumes"]}
    assert mounted <= {*folders.split(), "/training"}
    assert SERVICES[name]["build"]["target"] in SERVICES[name]["image"]


def test_only_training_may_write_to_the_store() -> None:
    assert "store:/store" in SERVICES["train"]["volumes"]
    for name in SERVERS:
        assert "store:/store:ro" in SERVICES[name]["volumes"]


def test_one_command_starts_a_server_on_the_cpu_and_its_training() -> None:
    assert {name for name, each in SERVICES.items() if "profiles" not in each} == {
        "bijecta",
        "train",
    }
    assert SERVICES["train"]["restart"] == "no"
    # else what is trained would not be taken up
    assert int(SERVICES["bijecta"]["environment"]["BIJECTA_POLL_SECONDS"]) > 0


@every_service
def test_the_volumes_and_files_that_are_mounted_are_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.partition(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), mount
        else:
            assert source in COMPOSE["volumes"], mount


def test_grafana_asks_the_prometheus_of_the_file() -> None:
    folder = ROOT / "deploy" / "grafana"
    (source,) = yaml.safe_load((folder / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    mount = f"./deploy/grafana/dashboards:{provider['options']['path']}:ro"
    assert mount in SERVICES["grafana"]["volumes"]
    assert (folder / "dashboards" / "bijecta.json").exists()
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
