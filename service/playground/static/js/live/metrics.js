// The server's metrics (Prometheus's text format), as far as the page draws them.

// Of a line: name, labels, value.
const LINE = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

// Requests that are questions to models; the page's own look at the metrics is none.
const ENDPOINTS = new Set([
  "log_prob", "encode", "decode", "layers", "sample", "interpolate", "score", "infer", "mcp", "grpc-infer", "grpc-stream",
]);

const REQUESTS = "bijecta_requests_total";
const FAILURES = "bijecta_request_failures_total";
const DURATION = "bijecta_request_duration_seconds_bucket";
const ROWS = "bijecta_request_rows_sum";
const QUEUE = "bijecta_queue_rows";
const IN_FLIGHT = "bijecta_inflight_requests";
const CAPACITY = "bijecta_queue_capacity_rows";

const NEEDED = new Set([REQUESTS, FAILURES, DURATION, ROWS, QUEUE, IN_FLIGHT, CAPACITY]);

/**
 * What the metrics say at a time: totals since the server's start, and what there is now.
 * @param {string} text of `/metrics`
 * @returns {{requests: number, failures: number, rows: number, queue: number, inFlight: number,
 *   capacity: number, buckets: Map<number, number>}} buckets of durations: how many requests took at
 *   most so many seconds
 */
export function readMetrics(text) {
  const totals = { requests: 0, failures: 0, rows: 0, queue: 0, inFlight: 0, capacity: 0, buckets: new Map() };
  for (const line of text.split("\n")) {
    if (!line.startsWith("bijecta_")) continue;
    const name = line.slice(0, line.search(/[{ ]/));
    if (!NEEDED.has(name)) continue;
    const [, , labelText = "", number] = LINE.exec(line) ?? [];
    const labels = Object.fromEntries(Array.from(labelText.matchAll(LABEL), ([, key, value]) => [key, value]));
    const value = Number(number);
    if (name === QUEUE) totals.queue += value;
    else if (name === CAPACITY) totals.capacity = Math.max(totals.capacity, value);
    else if (name === IN_FLIGHT) totals.inFlight += value;
    else if (!ENDPOINTS.has(labels.endpoint)) continue;
    else if (name === REQUESTS) totals.requests += value;
    else if (name === FAILURES) totals.failures += value;
    else if (name === ROWS) totals.rows += value;
    else if (name === DURATION) {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      totals.buckets.set(bound, (totals.buckets.get(bound) ?? 0) + value);
    }
  }
  return totals;
}

/**
 * What happened between two looks.
 * @param {object} before, after: by `readMetrics`
 * @param {number} seconds between them
 * @returns {{requests: number, failures: number, rows: number, queue: number, inFlight: number,
 *   median: number | null, slow: number | null}} a second; latencies in milliseconds, null where there
 *   was no request
 */
export function between(before, after, seconds) {
  const rate = (name) => Math.max(0, after[name] - before[name]) / seconds;
  const bounds = [...after.buckets.keys()].sort((a, b) => a - b);
  const grown = bounds.map((bound) => Math.max(0, after.buckets.get(bound) - (before.buckets.get(bound) ?? 0)));
  return {
    requests: rate("requests"),
    failures: rate("failures"),
    rows: rate("rows"),
    queue: after.queue,
    inFlight: after.inFlight,
    median: quantile(bounds, grown, 0.5),
    slow: quantile(bounds, grown, 0.99),
  };
}

// The quantile of a histogram in milliseconds, linear within a bucket, as Prometheus has it.
function quantile(bounds, counts, share) {
  const total = counts.at(-1) ?? 0;
  if (!total) return null;
  const rank = share * total;
  const at = counts.findIndex((count) => count >= rank);
  const low = at > 0 ? bounds[at - 1] : 0;
  if (bounds[at] === Infinity) return 1000 * low;
  const before = at > 0 ? counts[at - 1] : 0;
  return 1000 * (low + ((bounds[at] - low) * (rank - before)) / (counts[at] - before));
}
