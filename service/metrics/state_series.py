"""Metrics of what a server is and holds, and of its limits; a part of the table of `series`."""

from service.metrics.spec import MetricSpec

BUILD_INFO = MetricSpec(
    "bijecta_build_info",
    "gauge",
    ("version", "python", "onnxruntime"),
    "1",
    "1 for the versions of the server and of what it runs on.",
)
READY = MetricSpec(
    "bijecta_ready",
    "gauge",
    (),
    "1",
    "1 while requests should be sent here, as /health/ready.",
    of_workers="min",
)
VERSION_STATES = ("loaded", "refused", "unloaded", "awaited")
"""Of a version in the store. One whose newer files are refused is loaded and refused."""

STORE_VERSIONS = MetricSpec(
    "bijecta_store_versions",
    "gauge",
    ("state",),
    "versions",
    "Versions in the store: loaded; refused, or newer files of theirs; unloaded, by request or to "
    "make room; awaited, their first load has not ended.",
)
LOADED_BYTES = MetricSpec(
    "bijecta_loaded_bytes",
    "gauge",
    (),
    "bytes",
    "Files of the versions that are loaded.",
    of_workers="sum",
)
MODEL_THREADS = MetricSpec(
    "bijecta_model_threads",
    "gauge",
    ("model", "version"),
    "threads",
    "Runs of a loaded version that go on at a time.",
    of_workers="sum",
)
QUEUE_CAPACITY = MetricSpec(
    "bijecta_queue_capacity_rows",
    "gauge",
    ("model", "graph"),
    "rows",
    "Most rows that wait: bijecta_queue_rows goes up to it.",
    of_workers="sum",
)
CERTIFICATE_EXPIRY = MetricSpec(
    "bijecta_tls_certificate_expiry_timestamp_seconds",
    "gauge",
    (),
    "seconds",
    "When the first certificate of --tls-certificate expires, since 1970; absent without TLS.",
    of_workers="min",
)
INFLIGHT_LIMIT = MetricSpec(
    "bijecta_inflight_limit_bytes",
    "gauge",
    (),
    "bytes",
    "Most that bijecta_inflight_bytes may be: --max-inflight-mib.",
)
CONNECTIONS_LIMIT = MetricSpec(
    "bijecta_connections_limit",
    "gauge",
    (),
    "connections",
    "Most that bijecta_connections may be: --max-connections.",
)
UNSENT_LIMIT = MetricSpec(
    "bijecta_unsent_limit_bytes",
    "gauge",
    (),
    "bytes",
    "Most that bijecta_unsent_bytes may be: --max-unsent-mib.",
)
BODY_LIMIT = MetricSpec(
    "bijecta_body_limit_bytes", "gauge", (), "bytes", "Largest body of a request: --max-body-mib."
)
ROWS_LIMIT = MetricSpec(
    "bijecta_rows_limit", "gauge", (), "rows", "Most rows of a request: --max-rows."
)
WORKER_STATES = ("starting", "listening", "ready")
"""Of a worker: it takes no connections; it does, and should not be sent requests; it should."""

WORKERS = MetricSpec(
    "bijecta_workers",
    "gauge",
    ("state",),
    "processes",
    "Workers of --workers by state: starting, listening (models are loaded, or it is to stop) or "
    "ready; absent where there is one process.",
)
WORKER_RESTARTS = MetricSpec(
    "bijecta_worker_restarts_total",
    "counter",
    (),
    "processes",
    "Workers that were started in place of ones that had ended.",
)
LOG_PROB_RANK = MetricSpec(
    "bijecta_log_prob_rank",
    "histogram",
    ("model", "version"),
    "1",
    "Rows of bijecta_log_prob by the share of held-out rows that are no likelier: uniform, as long "
    "as rows are like those.",
)
LOG_PROB_PER_DIM = MetricSpec(
    "bijecta_log_prob_per_dim",
    "summary",
    ("model", "version"),
    "nats",
    "Log-densities that were answered, over the dimensions of a row; infinite ones are left out.",
)
HELD_OUT_PER_DIM = MetricSpec(
    "bijecta_held_out_log_prob_per_dim",
    "gauge",
    ("model", "version"),
    "nats",
    "The mean of held-out rows, which bijecta_log_prob_per_dim is to be compared with.",
)
GPU_MEMORY = MetricSpec(
    "bijecta_gpu_memory_bytes",
    "gauge",
    ("gpu",),
    "bytes",
    "Memory of a GPU that is in use, by whichever process.",
)
GPU_MEMORY_LIMIT = MetricSpec(
    "bijecta_gpu_memory_limit_bytes", "gauge", ("gpu",), "bytes", "Memory that a GPU has."
)
GPU_UTILISATION = MetricSpec(
    "bijecta_gpu_utilisation_ratio",
    "gauge",
    ("gpu",),
    "1",
    "Share of the driver's last period of measurement in which the GPU computed.",
)

GPU_METRICS = (GPU_MEMORY, GPU_MEMORY_LIMIT, GPU_UTILISATION)

STATE_METRICS = (
    LOG_PROB_RANK,
    LOG_PROB_PER_DIM,
    HELD_OUT_PER_DIM,
    READY,
    BUILD_INFO,
    STORE_VERSIONS,
    LOADED_BYTES,
    MODEL_THREADS,
    QUEUE_CAPACITY,
    CERTIFICATE_EXPIRY,
    INFLIGHT_LIMIT,
    CONNECTIONS_LIMIT,
    UNSENT_LIMIT,
    BODY_LIMIT,
    ROWS_LIMIT,
    WORKERS,
    WORKER_RESTARTS,
    *GPU_METRICS,
)
