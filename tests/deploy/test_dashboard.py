"""Grafana's dashboard: of its schema, of series that there are, and without overlaps."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dashboard import CHOICES, DASHBOARD, dashboard
from service.metrics.series import METRICS
from tests.helpers.manifests import SCHEMAS

PROMTOOL = shutil.which("promtool")

SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
    "counter": ("",),
    "gauge": ("",),
}
SERIES = {
    f"{metric.name}{suffix}": {*metric.labels, "job", "instance"}
    | ({"le"} if suffix == "_bucket" else set())
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}

Json = dict[str, Any]


def panels() -> Iterator[Json]:
    """Rows and panels, those of closed rows among them."""
    for panel in dashboard()["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> list[str]:
    """All queries, the choices' among them."""
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [*asked, *CHOICES.values()]


def test_it_is_written() -> None:
    assert json.loads(DASHBOARD.read_text()) == dashboard(), "run `make manifests`"


def errors(name: str, value: Any) -> list[str]:
    """What the schema of that name says of a value."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCHEMAS / "grafana.json").read_text())[name]
    return [each.message for each in jsonschema.Draft7Validator(schema).iter_errors(value)]


def test_it_is_of_grafanas_schema() -> None:
    assert not errors("dashboard", dashboard())
    for panel in panels():
        if panel["type"] != "row":
            assert not errors(panel["type"], panel["options"])
        if panel["type"] == "timeseries":
            custom = panel["fieldConfig"]["defaults"]["custom"]
            assert not errors("timeseries_field", custom)


def test_the_schema_finds_what_is_wrong() -> None:
    for change in ({"titel": "B"}, {"schemaVersion": "41"}, {"graphTooltip": 7}):
        assert errors("dashboard", dashboard() | change)
    assert errors("timeseries", {"legend": {}})
    assert errors("timeseries_field", {"showPoints": "sometimes"})


def test_every_series_is_of_the_table_with_the_labels_that_it_has() -> None:
    for query in queries():
        for name, matchers in re.findall(r"\b(bijecta_\w+)(?:\{([^}]*)\})?", query):
            assert name in SERIES, name
            assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", matchers)) <= SERIES[name], query


def test_every_query_is_of_the_servers_that_were_chosen() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            if "ALERTS" not in target["expr"]:
                assert 'instance=~"$instance"' in target["expr"]


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, which comes with Prometheus")
def test_every_query_can_be_read(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    plain = (query.replace("$__rate_interval", "1m") for query in queries())
    rules = [
        {"record": "a", "expr": query, "labels": {"n": str(n)}} for n, query in enumerate(plain)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_panels_have_places_and_numbers_of_their_own() -> None:
    everything = list(panels())
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [panel["gridPos"] for panel in everything]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (a, b)
