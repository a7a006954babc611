"""Grafana's dashboard, made of a few lines for each panel: `deploy/grafana/panels.yml`.

Grafana's own form has some fifty lines for a panel, nearly all of them the same for each.
`make manifests` writes it, and a test compares the file.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "grafana"
DASHBOARD = FOLDER / "dashboards" / "bijecta.json"

SOURCE = {"type": "prometheus", "uid": "${source}"}

WIDTH = 24
"""Units of width that a dashboard has."""

# What is chosen at its head: a label, and the series whose values it has.
CHOICES = {
    "job": "bijecta_ready",
    "instance": 'bijecta_ready{job=~"$job"}',
    "model": 'bijecta_model_info{job=~"$job", instance=~"$instance"}',
}
SERVER = 'job=~"$job", instance=~"$instance"'
MODEL = f'{SERVER}, model=~"$model"'

Json = dict[str, Any]

LEGEND: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
FIGURE: Json = {
    "reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""},
    "graphMode": "none",
    "justifyMode": "auto",
    "orientation": "auto",
    "textMode": "auto",
    "wideLayout": True,
    "showPercentChange": False,
    "percentChangeColorMode": "standard",
}
HIDDEN = ("Time", "Value", "__name__", "job")
"""Columns that a table of labels leaves out."""


def described() -> list[Json]:
    """The rows of `panels.yml`."""
    rows: list[Json] = yaml.safe_load((FOLDER / "panels.yml").read_text())
    return rows


def dashboard() -> Json:
    """The dashboard, as Grafana has it."""
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "uid": "bijecta",
        "title": "Bijecta",
        "tags": ["bijecta"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair over all panels
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, *(_choice(*each) for each in CHOICES.items())]},
        "annotations": {"list": []},
        "panels": list(_placed(described())),
    }


def dashboard_text() -> str:
    """The file of the dashboard."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def _choice(label: str, series: str) -> Json:
    """A choice of any number of a label's values, at first all."""
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({series}, {label})",
        "refresh": 2,  # where the time changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: list[Json]) -> Iterator[Json]:
    """Rows and their panels, from left to right and from top to bottom."""
    number = top = 0
    for row in rows:
        number += 1
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        head = {"type": "row", "title": row["row"], "id": number, "gridPos": place}
        panels, left, top, height = list[Json](), 0, top + 1, 0
        for panel in row["panels"]:
            number += 1
            made = _panel(panel)
            size = {"h": 4 if panel.get("kind") == "stat" else 8, "w": panel.get("width", 8)}
            if left + size["w"] > WIDTH:
                left, top = 0, top + height
            panels.append(made | {"id": number, "gridPos": size | {"x": left, "y": top}})
            left, height = left + size["w"], size["h"]
        top += height
        # a row that is closed has its panels inside, and asks for nothing until it is opened
        is_closed = row.get("collapsed", False)
        yield head | {"collapsed": is_closed, "panels": panels if is_closed else []}
        if not is_closed:
            yield from panels


def _panel(panel: Json) -> Json:
    kind = panel.get("kind", "timeseries")
    made: Json = {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("note", ""),
        "datasource": SOURCE,
        "targets": [
            _target(kind, chr(ord("A") + number), legend, query)
            for number, (legend, query) in enumerate(panel["queries"].items())
        ],
    }
    defaults: Json = {"unit": panel.get("unit", "short")}
    if (bound := panel.get("red_below")) is not None:
        steps = [{"value": None, "color": "red"}, {"value": bound, "color": "green"}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if kind == "timeseries":
        stacked = panel.get("stacked", False)
        defaults |= {"min": 0} if panel.get("from_zero", True) else {}
        defaults["custom"] = {
            "fillOpacity": 20 if stacked else 0,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "showPoints": "never",
        }
        made["options"] = {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
    elif kind == "stat":
        made["options"] = FIGURE | {"colorMode": "none" if bound is None else "background"}
    else:
        made["options"] = {"showHeader": True, "frameIndex": 0}
        excluded = dict.fromkeys(HIDDEN, True)
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": excluded}}]
    return made | {"fieldConfig": {"defaults": defaults, "overrides": []}}


def _target(kind: str, letter: str, legend: str, query: str) -> Json:
    is_line = kind == "timeseries"
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.replace("SERVER", SERVER).replace("MODEL", MODEL),
        "legendFormat": legend,
        "range": is_line,
        "instant": not is_line,
        "format": "table" if kind == "table" else "time_series",
    }
