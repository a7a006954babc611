"""Every metric of the service: name, kind, labels, unit and meaning, each said once.

The series are made of this table, and so is the table of `service/METRICS.md`:

    python -m service.metrics
"""

from service.metrics.spec import MetricSpec
from service.metrics.state_series import STATE_METRICS

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = tuple(4.0**k for k in range(9))
BATCH_ROWS = tuple(2.0**k for k in range(15))
STAGE_BOUNDS = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 0.01, 0.05, 0.25, 1, 5, 30)
P_VALUES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *[k / 10 for k in range(1, 11)])

REQUESTS = MetricSpec(
    "bijecta_requests_total",
    "counter",
    ("endpoint", "model", "code"),
    "requests",
    "Requests answered.",
)
FAILURES = MetricSpec(
    "bijecta_request_failures_total",
    "counter",
    ("endpoint", "model", "reason"),
    "requests",
    "Requests refused or failed.",
)
REQUEST_SECONDS = MetricSpec(
    "bijecta_request_duration_seconds",
    "histogram",
    ("endpoint", "model"),
    "seconds",
    "From the head of a request to the end of its answer.",
    SECONDS,
)
STAGES = ("receive", "parse", "queue", "run", "serialise")
"""Of a request: its body arrives, becomes arrays, waits for a graph, runs, becomes an answer."""

STAGE_SECONDS = MetricSpec(
    "bijecta_request_stage_duration_seconds",
    "histogram",
    ("model", "stage"),
    "seconds",
    "Time of a request in a stage that it came to: receive, parse, queue, run, serialise.",
    STAGE_BOUNDS,
)
REJECTIONS = MetricSpec(
    "bijecta_rejections_total",
    "counter",
    ("reason",),
    "requests",
    "Requests turned away by limits, rights or the state of the server, before a model ran.",
)
IN_FLIGHT = MetricSpec(
    "bijecta_inflight_requests",
    "gauge",
    (),
    "requests",
    "Requests being answered now.",
    of_workers="sum",
)
INFLIGHT_BYTES = MetricSpec(
    "bijecta_inflight_bytes",
    "gauge",
    (),
    "bytes",
    "Memory of the requests being answered now, of --max-inflight-mib.",
    of_workers="sum",
)
REQUEST_ROWS = MetricSpec(
    "bijecta_request_rows", "histogram", ("endpoint", "model"), "rows", "Rows of an answer.", ROWS
)
RUN_ROWS = MetricSpec(
    "bijecta_batch_rows",
    "histogram",
    ("model", "graph"),
    "rows",
    "Rows of a run of a graph.",
    BATCH_ROWS,
)
RUN_SECONDS = MetricSpec(
    "bijecta_batch_duration_seconds",
    "histogram",
    ("model", "graph"),
    "seconds",
    "Time that a run of a graph takes.",
    SECONDS,
)
QUEUE_SECONDS = MetricSpec(
    "bijecta_queue_duration_seconds",
    "histogram",
    ("model", "graph"),
    "seconds",
    "Time that a request waits for its first run.",
    SECONDS,
)
QUEUE_ROWS = MetricSpec(
    "bijecta_queue_rows",
    "gauge",
    ("model", "graph"),
    "rows",
    "Rows ahead of a new request.",
    of_workers="sum",
)
NON_FINITE = MetricSpec(
    "bijecta_nonfinite_outputs_total",
    "counter",
    ("model",),
    "rows",
    "Rows whose answer was not a number.",
)
LOG_PROB = MetricSpec(
    "bijecta_log_prob",
    "histogram",
    ("model", "version"),
    "nats",
    "Log-densities that were answered; the bounds are quantiles of held-out rows.",
)
P_VALUE = MetricSpec(
    "bijecta_p_value",
    "histogram",
    ("model", "version"),
    "1",
    "P-values of rows that were scored.",
    P_VALUES,
)
WATCHED_ROWS = MetricSpec(
    "bijecta_drift_rows",
    "gauge",
    ("model", "version"),
    "rows",
    "Rows that the test of drift has taken since it began.",
    of_workers="sum",
)
DRIFT = MetricSpec(
    "bijecta_drift_log_martingale",
    "gauge",
    ("model", "version"),
    "nats",
    "Log of the largest test martingale now; an alarm begins at log(--watch-threshold).",
)
DRIFT_ALARM = MetricSpec(
    "bijecta_drift_alarm",
    "gauge",
    ("model", "version"),
    "1",
    "1 from the alarm of a test of drift until it begins anew.",
)
LOG_RECORDS = MetricSpec(
    "bijecta_log_records_total",
    "counter",
    ("level", "outcome"),
    "records",
    "Records of the log, written, or counted because one of their kind had just been.",
)
REQUEST_LOG_LINES = MetricSpec(
    "bijecta_request_log_lines_total",
    "counter",
    ("outcome",),
    "lines",
    "Lines of --request-log, written, or dropped as nobody took them fast enough.",
)
TRACE_SPANS = MetricSpec(
    "bijecta_trace_spans_total",
    "counter",
    ("outcome",),
    "spans",
    "Spans of traces that a collector has taken (sent), or would not (lost).",
)
MODEL_INFO = MetricSpec(
    "bijecta_model_info",
    "gauge",
    ("model", "version", "family", "provider", "sha256"),
    "1",
    "1 for each loaded model; sha256 is the checksum of its manifest, and so of its files.",
)
STORE_READABLE = MetricSpec(
    "bijecta_store_readable",
    "gauge",
    (),
    "1",
    "1 while the store's folder can be looked through, 0 while what was loaded stays without it.",
    of_workers="min",
)
REMOTE_READABLE = MetricSpec(
    "bijecta_remote_store_readable",
    "gauge",
    (),
    "1",
    "0 while a store elsewhere cannot be read and what was taken from it stays, else 1.",
    of_workers="min",
)
REMOTE_VERSIONS = MetricSpec(
    "bijecta_remote_versions",
    "gauge",
    ("state",),
    "versions",
    "Versions of a store elsewhere: held here, or refused as half uploaded or altered.",
)
REMOTE_BYTES = MetricSpec(
    "bijecta_remote_bytes_total",
    "counter",
    (),
    "bytes",
    "Bytes of the versions that were taken from a store elsewhere.",
)
KEYS_READABLE = MetricSpec(
    "bijecta_keys_readable",
    "gauge",
    (),
    "1",
    "1 while the keys are those of their file, 0 while those of before stay as it cannot be read.",
    of_workers="min",
)
LOADS = MetricSpec(
    "bijecta_loads_total",
    "counter",
    ("outcome",),
    "loads",
    "Loads of bundles that ended: loaded, refused, unreadable (tried again), or given up as too "
    "slow.",
)
BUNDLE_REFUSALS = MetricSpec(
    "bijecta_bundle_refusals_total",
    "counter",
    ("kind",),
    "loads",
    "Loads of bundles that were refused: unsigned, or with a signature of no trusted key; more "
    "than bounded data, by what of it; or other, as altered files and failed checks are.",
)
GRANTED_CPUS = MetricSpec(
    "bijecta_granted_cpus", "gauge", (), "CPUs", "CPUs that the machine or container grants."
)
THREADS = MetricSpec(
    "bijecta_threads",
    "gauge",
    (),
    "threads",
    "CPU threads of a model that has no setting of its own.",
    of_workers="sum",
)
CONNECTIONS = MetricSpec(
    "bijecta_connections",
    "gauge",
    (),
    "connections",
    "Connections that are open.",
    of_workers="sum",
)
CONNECTIONS_CLOSED = MetricSpec(
    "bijecta_connections_closed_total",
    "counter",
    ("reason",),
    "connections",
    "Connections closed by the server because of a limit, or refused.",
)
UNSENT_BYTES = MetricSpec(
    "bijecta_unsent_bytes",
    "gauge",
    (),
    "bytes",
    "What large answers hold until their callers have taken them.",
    of_workers="sum",
)

METRICS = (
    REQUESTS,
    FAILURES,
    REQUEST_SECONDS,
    STAGE_SECONDS,
    REJECTIONS,
    IN_FLIGHT,
    INFLIGHT_BYTES,
    REQUEST_ROWS,
    RUN_ROWS,
    RUN_SECONDS,
    QUEUE_SECONDS,
    QUEUE_ROWS,
    NON_FINITE,
    LOG_PROB,
    P_VALUE,
    WATCHED_ROWS,
    DRIFT,
    DRIFT_ALARM,
    LOG_RECORDS,
    REQUEST_LOG_LINES,
    TRACE_SPANS,
    MODEL_INFO,
    STORE_READABLE,
    REMOTE_READABLE,
    REMOTE_VERSIONS,
    REMOTE_BYTES,
    KEYS_READABLE,
    LOADS,
    BUNDLE_REFUSALS,
    GRANTED_CPUS,
    THREADS,
    CONNECTIONS,
    CONNECTIONS_CLOSED,
    UNSENT_BYTES,
    *STATE_METRICS,
)
