"""The compose file: a store that is not there is an error, and options are passed on."""

import re
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[3]


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_docker_makes_no_store_and_cannot_write_to_it() -> None:
    services = compose()["services"]
    for name in ("bijecta", "bijecta-gpu"):
        (volume,) = services[name]["volumes"]
        assert volume["bind"] == {"create_host_path": False}
        assert volume["read_only"] is True
        assert re.fullmatch(r"\$\{STORE:-\./store\}", volume["source"])


def test_options_of_loads_and_batches_are_passed_on() -> None:
    passed_on = set(compose()["services"]["bijecta"]["environment"])
    for field in (
        "load_seconds",
        "poll_seconds",
        "threads",
        "batch_rows",
        "batch_mib",
        "max_models_mib",
    ):
        assert field in Settings.model_fields
        assert f"BIJECTA_{field.upper()}" in passed_on
