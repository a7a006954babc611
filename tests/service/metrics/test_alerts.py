"""The alert rules speak of series that there are, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.metrics.series import METRICS

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "alerts.yml"
PROMTOOL = shutil.which("promtool")

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


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, which comes with Prometheus")
def test_the_rules_fire_when_they_should() -> None:
    assert PROMTOOL is not None
    for arguments in (
        ["check", "config", str(ROOT / "deploy" / "prometheus.yml")],
        ["test", "rules", str(Path(__file__).parent / "alerts_test.yml")],
    ):
        done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
