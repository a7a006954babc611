"""Metrics are what their one table says."""

from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

import service.metrics
from service.metrics import (
    STAGES,
    GpuGauges,
    HeldOutLogProb,
    Metrics,
    ServerState,
    WorkerGauges,
)
from service.metrics.__main__ import metrics_table
from service.metrics.series import METRICS
from service.settings import Settings
from tests.helpers.gpus import Driver

# The names that dashboards read; one of them may go a version after its successor has come.
PUBLISHED = {
    "bijecta_requests_total": ("endpoint", "model", "code"),
    "bijecta_request_failures_total": ("endpoint", "model", "reason"),
    "bijecta_request_duration_seconds": ("endpoint", "model"),
    "bijecta_request_stage_duration_seconds": ("model", "stage"),
    "bijecta_rejections_total": ("reason",),
    "bijecta_inflight_requests": (),
    "bijecta_request_rows": ("endpoint", "model"),
    "bijecta_batch_rows": ("model", "graph"),
    "bijecta_batch_duration_seconds": ("model", "graph"),
    "bijecta_queue_duration_seconds": ("model", "graph"),
    "bijecta_queue_rows": ("model", "graph"),
    "bijecta_nonfinite_outputs_total": ("model",),
    "bijecta_log_prob": ("model", "version"),
    "bijecta_p_value": ("model", "version"),
    "bijecta_drift_rows": ("model", "version"),
    "bijecta_drift_log_martingale": ("model", "version"),
    "bijecta_drift_alarm": ("model", "version"),
    "bijecta_log_records_total": ("level", "outcome"),
    "bijecta_request_log_lines_total": ("outcome",),
    "bijecta_trace_spans_total": ("outcome",),
    "bijecta_model_info": ("model", "version", "family", "provider", "sha256"),
    "bijecta_store_readable": (),
    "bijecta_loads_total": ("outcome",),
    "bijecta_bundle_refusals_total": ("kind",),
    "bijecta_keys_readable": (),
    "bijecta_tls_certificate_expiry_timestamp_seconds": (),
    "bijecta_granted_cpus": (),
    "bijecta_threads": (),
    "bijecta_connections": (),
    "bijecta_connections_closed_total": ("reason",),
    "bijecta_unsent_bytes": (),
    "bijecta_log_prob_rank": ("model", "version"),
    "bijecta_log_prob_per_dim": ("model", "version"),
    "bijecta_held_out_log_prob_per_dim": ("model", "version"),
    "bijecta_ready": (),
    "bijecta_build_info": ("version", "python", "onnxruntime"),
    "bijecta_store_versions": ("state",),
    "bijecta_loaded_bytes": (),
    "bijecta_model_threads": ("model", "version"),
    "bijecta_queue_capacity_rows": ("model", "graph"),
    "bijecta_inflight_limit_bytes": (),
    "bijecta_connections_limit": (),
    "bijecta_unsent_limit_bytes": (),
    "bijecta_body_limit_bytes": (),
    "bijecta_rows_limit": (),
    "bijecta_workers": ("state",),
    "bijecta_worker_restarts_total": (),
    "bijecta_gpu_memory_bytes": ("gpu",),
    "bijecta_gpu_memory_limit_bytes": ("gpu",),
    "bijecta_gpu_utilisation_ratio": ("gpu",),
}


class Depth:
    depth = 3
    capacity = 20


def used() -> Metrics:
    """Metrics of which each has at least one series."""
    metrics = Metrics()
    metrics.requests.add_endpoint("sample")
    queue = metrics.queue("moons", "encode")
    queue.watch(Depth())
    queue.batch(5, 0.01)
    queue.waited(0.001)
    metrics.requests.answered("sample", "moons", 200, 0.02, 7, [0.001] * len(STAGES))
    metrics.requests.failed("sample", "moons", "overloaded")
    metrics.non_finite.labels("moons").inc()
    metrics.logged("ERROR", False)
    held_out = HeldOutLogProb({-3.0: 0.01, -2.0: 0.5}, -2.2, 2)
    series = metrics.model_series("moons", 1, held_out)
    series.set_drift(10, 0.5, False)
    series.show()
    manifest = SimpleNamespace(name="moons", version=1, family="maf", checksum="0" * 64)
    metrics.loaded(manifest, "CPUExecutionProvider", 2)  # type: ignore[arg-type]
    state = ServerState(Settings(), lambda: True, lambda: {"loaded": 1}, lambda: 5, lambda: 1.8e9)
    metrics.registry.register(state)
    gpus = GpuGauges(Driver())
    gpus.sample()
    metrics.registry.register(gpus)
    metrics.registry.register(WorkerGauges(lambda: {"ready": 2}, lambda: 1))
    return metrics


def test_every_series_is_of_the_table_and_every_line_of_the_table_has_series() -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(used().exposition().decode())
        if family.name.startswith("bijecta_") and not family.name.endswith("_created")
    }
    # the parser leaves a counter's suffix out of its family's name
    assert families.keys() == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels == set(metric.labels)


def test_no_published_name_has_gone() -> None:
    labels = {metric.name: metric.labels for metric in METRICS}
    assert {name: labels.get(name) for name in PUBLISHED} == PUBLISHED


def test_the_page_has_a_line_for_each() -> None:
    page = Path(service.metrics.__file__).parents[1] / "METRICS.md"
    assert metrics_table() in page.read_text(), "paste what `python -m service.metrics` prints"
    lines = metrics_table().splitlines()[2:]
    assert len(lines) == len(METRICS)
    for metric, line in zip(METRICS, lines, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == f"`{metric.name}`"
        assert len(cells) == 5
        assert all(cells)


def test_depths_of_a_models_versions_are_added_until_they_are_unloaded() -> None:
    metrics = Metrics()
    old, new = Depth(), Depth()
    queue = metrics.queue("moons", "encode")
    queue.watch(old)
    metrics.queue("moons", "encode").watch(new)
    assert 'queue_rows{graph="encode",model="moons"} 6.0' in metrics.exposition().decode()
    assert 'capacity_rows{graph="encode",model="moons"} 40.0' in metrics.exposition().decode()
    queue.unwatch(old)
    assert 'queue_rows{graph="encode",model="moons"} 3.0' in metrics.exposition().decode()
    assert 'capacity_rows{graph="encode",model="moons"} 20.0' in metrics.exposition().decode()
