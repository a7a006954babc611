"""Write what follows from the Helm chart and from the dashboard's panels.

    python -m deploy.manifests

The chart is the one source. `kubernetes/base` is what it makes of its default values, and the
components `monitoring` and `autoscaling` what these two add. The overlays are written by hand: a
test compares each to the values file of its name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python

from deploy.dashboard import DASHBOARD, dashboard_text
from service.settings import Settings

FOLDER = Path(__file__).parent
CHART = FOLDER / "chart"
SCHEMA = CHART / "values.schema.json"
KUSTOMIZE = FOLDER / "kubernetes"

# What the chart sets itself, or has no place for: TLS ends before the pods.
OF_THE_CHART = frozenset(
    {"host", "port", "uds", "store", "keys", "trusted_keys", "insecure"}
    | {"tls_certificate", "tls_key"}
)

# Of one model: BIJECTA_MODELS__DIGITS_MAF__THREADS.
OF_A_MODEL = r"^BIJECTA_MODELS__[A-Z0-9_]+__(THREADS|BATCH_ROWS|BATCH_MIB|QUEUE_ROWS)$"

HEAD = "# Written by `make manifests` from deploy/chart.\n"

# The component that brings a file; the base brings the others.
COMPONENTS = {
    "service-monitor.yaml": "monitoring",
    "prometheus-rule.yaml": "monitoring",
    "dashboard.yaml": "monitoring",
    "horizontal-pod-autoscaler.yaml": "autoscaling",
}


def render(values: Mapping[str, Any], name: str = "bijecta") -> dict[str, str]:
    """The files of the chart for some values, by name, without those that are empty.

    Args:
        values: beside the chart's defaults.
        name: of the release.

    Raises:
        helm_python.HelmError: values that the schema refuses.
    """
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        rendered = chart.render(dict(values), name=name, namespace="default")
    texts = {Path(path).name: text.strip() + "\n" for path, text in rendered.items()}
    return {file: text for file, text in sorted(texts.items()) if text.strip()}


def settings_schema() -> dict[str, Any]:
    """What may stand under `settings`: the options of the server, by their variables."""
    fields = Settings.model_json_schema()["properties"]
    names = sorted(fields.keys() - OF_THE_CHART)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {f"BIJECTA_{name.upper()}": _plain(fields[name]) for name in names},
        "patternProperties": {OF_A_MODEL: {"type": "integer", "minimum": 1}},
    }


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a field that is given, without what only its own class needs."""
    schema = {k: v for k, v in field.items() if k not in ("anyOf", "title", "default")}
    for option in field.get("anyOf", ()):
        if option != {"type": "null"}:
            schema |= option
    return schema


def schema_text() -> str:
    """The schema of values, with the settings of today."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = settings_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def kustomize_files() -> dict[Path, str]:
    """The files of the base and the components that follow from the chart."""
    base = {KUSTOMIZE / "base" / file: HEAD + text for file, text in render({}).items()}
    everything = render({"monitoring": {"enabled": True}, "autoscaling": {"enabled": True}})
    return base | {
        KUSTOMIZE / folder / file: HEAD + everything[file] for file, folder in COMPONENTS.items()
    }


def written() -> dict[Path, str]:
    """Every file that is written."""
    return {DASHBOARD: dashboard_text(), SCHEMA: schema_text(), **kustomize_files()}


def main() -> None:
    """Write everything."""
    DASHBOARD.write_text(dashboard_text())  # the chart holds it
    for path, text in written().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
