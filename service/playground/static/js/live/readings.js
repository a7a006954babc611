// Readings of the server's metrics over the last minute: what happened between one and the next. Those of all panels and
// models are one row, since they are of all of them.

import { between } from "./metrics.js";

export const SECONDS = 60;

// A reading that comes so much later than it was due ends a gap: nobody looked meanwhile, as in a tab that was hidden.
const LATE_MS = 2000;

const NOTHING = { requests: null, failures: null, rows: null, queue: null, inFlight: null, median: null, slow: null };

const readings = [];
let before = null;

/** The readings of the last minute, the oldest first: `at` in milliseconds, and what `between` (metrics.js) says; all null at a gap. */
export function lastMinute(now) {
  while (readings.length && readings[0].at < now - 1000 * SECONDS) readings.shift();
  return readings;
}

/**
 * Remember what the metrics say, beside what they said before. Over a gap nothing is said: a rate over it would be of no second.
 * @param {object} totals by `readMetrics`
 * @param {number} at when they said it, in milliseconds
 * @param {number} pause after which the next reading is due
 */
export function note(totals, at, pause) {
  if (before !== null) readings.push(at > before.due + LATE_MS ? { at, ...NOTHING } : { at, ...between(before.totals, totals, (at - before.at) / 1000) });
  before = { totals, at, due: at + pause };
}

/** The reading that is of now; null where the last one is of before a gap, or the next one is overdue. */
export function newest(now) {
  const last = readings.at(-1);
  return last && last.requests !== null && now <= before.due + LATE_MS ? last : null;
}

/** Whether anything was read yet: then the readings go on. */
export const hasBegun = () => before !== null;
