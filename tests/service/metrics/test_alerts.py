"""The alert rules speak of series that there are, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics.metrics import REJECTION_STATUSES
from service.metrics.requests import reasons
from service.metrics.series import METRICS
from service.operations import FLOW_OPERATIONS
from service.watching.watching import LEVELS

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "alerts.yml"
TESTS = Path(__file__).parent / "alerts_test.yml"
PROMTOOL = shutil.which("promtool")

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}

SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
    "counter": ("",),
    "gauge": ("",),
}


def test_every_series_of_the_rules_is_of_the_table_with_the_labels_that_it_has() -> None:
    labels = {
        f"{metric.name}{suffix}": {*metric.labels, "le"} if suffix == "_bucket" else metric.labels
        for metric in METRICS
        for suffix in SUFFIXES[metric.kind]
    }
    uses = re.findall(r"\b(bijecta_\w+)(?:\{([^}]*)\})?", RULES.read_text())
    assert len(uses) > 5
    for name, matchers in uses:
        assert name in labels, f"{name} is no series of this server"
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= set(labels[name])


def test_the_shares_are_read_at_bounds_that_the_histogram_has() -> None:
    bounds = {m.name: [str(float(b)) for b in m.bounds] for m in METRICS}["bijecta_p_value"]
    shares = re.findall(r'bijecta_p_value_bucket\{le="([^"]+)"\}', RULES.read_text())
    assert shares == ["0.01", "0.05"]
    assert set(shares) <= set(bounds)


def test_the_ranks_are_read_at_levels_that_the_histogram_has() -> None:
    found = re.findall(r'bijecta_log_prob_rank_bucket\{le="([^"]+)"\}', RULES.read_text())
    assert {"0.01", "0.99", "+Inf"} == set(found)
    assert {"0.01", "0.99"} <= set(map(str, LEVELS))


def test_labels_that_are_matched_have_the_values_that_they_are_matched_with() -> None:
    text = RULES.read_text()
    turned_away = {r for r, status in reasons().items() if status in REJECTION_STATUSES}
    for matched in re.findall(r'reason=~"([^"]+)"', text):
        assert set(matched.split("|")) <= turned_away
    (endpoint,) = re.findall(r'endpoint=~"([^"]+)"', text)
    assert set(endpoint.split("|")) <= {operation.name for operation in FLOW_OPERATIONS}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == name.lower()
    assert f"\n### {name}\n" in (ROOT / page).read_text()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_where_it_fires_and_where_it_does_not(name: str) -> None:
    fires = {
        bool(one["exp_alerts"])
        for group in yaml.safe_load(TESTS.read_text())["tests"]
        for one in group["alert_rule_test"]
        if one["alertname"] == name
    }
    assert fires == {True, False}


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    page = (ROOT / "deploy" / "RUNBOOK.md").read_text()
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == ALERTS.keys()


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, which comes with Prometheus")
def test_the_rules_fire_when_they_should() -> None:
    assert PROMTOOL is not None
    for arguments in (
        ["check", "config", str(ROOT / "deploy" / "prometheus.yml")],
        ["check", "rules", str(RULES)],
        ["test", "rules", str(TESTS)],
    ):
        done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
