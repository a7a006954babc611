// What is shown of scores: a histogram, the rows beyond a level, and the file with its scores.

import { quoted } from "./csv.js";
import { SCORED, valueName } from "./scorer.js";

const BINS = 48;

// Rows of the table.
const MOST_SHOWN = 100;

// Rows that are written in one go.
const WRITTEN_ROWS = 8192;

// Of rows in a histogram, those between these shares decide its ends; the others are in its first and last bar.
const ENDS = [0.001, 0.999];

// Farther from the middle half of the rows than so many times its width is no end: a long tail would leave one bar.
const MOST_WIDTHS = 20;

/** What a histogram can be of. */
export function seriesOf(columns) {
  const series = columns.score ? ["score"] : ["surprise"];
  if (columns.tail) series.push("tail");
  return series;
}

function valueOf(columns, series) {
  if (series === "tail") return (row) => columns.tail[row];
  if (series === "score") return (row) => columns.score[row];
  return (row) => -columns.logProb[row];
}

// Whether a row is beyond a level: its p-value, or its quantile, is at most that.
function isBeyond(columns, row, alpha) {
  return columns.state[row] === SCORED && columns.tail !== null && columns.tail[row] <= alpha;
}

/**
 * A histogram of the rows that are scored so far.
 * @returns {{low: number, high: number, within: number[], beyond: number[], infinite: number,
 *   below: number, above: number, beyondCount: number, line: number | null}} counts of each bar of
 *   rows within and beyond the level; how many values are infinite, and how many lie outside the
 *   ends; and the value at which rows come to be beyond, where there is one
 */
export function histogram(columns, series, alpha) {
  const value = valueOf(columns, series);
  const finite = [];
  let infinite = 0;
  let beyondCount = 0;
  let leastBeyond = Infinity;
  let mostWithin = -Infinity;
  for (let row = 0; row < columns.state.length; row++) {
    if (columns.state[row] !== SCORED) continue;
    const each = value(row);
    if (isBeyond(columns, row, alpha)) {
      beyondCount++;
      leastBeyond = Math.min(leastBeyond, each);
    } else mostWithin = Math.max(mostWithin, each);
    if (Number.isFinite(each)) finite.push(each);
    else infinite++;
  }
  const sorted = Float64Array.from(finite).sort();
  const [low, high] = series === "tail" ? [0, 1] : endsOf(sorted);
  const within = new Array(BINS).fill(0);
  const beyond = new Array(BINS).fill(0);
  let below = 0;
  let above = 0;
  for (let row = 0; row < columns.state.length; row++) {
    if (columns.state[row] !== SCORED) continue;
    const each = value(row);
    if (!Number.isFinite(each)) continue;
    if (each < low) below++;
    if (each > high) above++;
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor((BINS * (each - low)) / (high - low))));
    (isBeyond(columns, row, alpha) ? beyond : within)[bin]++;
  }
  let line = null;
  if (series === "tail") line = alpha;
  else if (beyondCount && leastBeyond > mostWithin && Number.isFinite(leastBeyond)) {
    line = Number.isFinite(mostWithin) ? (leastBeyond + mostWithin) / 2 : leastBeyond;
  }
  return { low, high, within, beyond, infinite, below, above, beyondCount, line, smallest: sorted[0] ?? NaN, largest: sorted.at(-1) ?? NaN };
}

// The ends of a histogram: those of nearly all values, as a single one far away would leave the others one bar.
function endsOf(sorted) {
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high] = ENDS.map(at);
  const margin = 0.5 * (high - low);
  const reach = MOST_WIDTHS * (at(0.75) - at(0.25)) || Infinity;
  const from = Math.max(sorted[0], low - margin, at(0.25) - reach);
  const to = Math.min(sorted.at(-1), high + margin, at(0.75) + reach);
  return to > from ? [from, to] : [from - 0.5, from + 0.5];
}

/** The rows beyond a level that are shown: those with the smallest p-values or quantiles, and of these the largest scores. */
export async function rowsBeyond(source, columns, alpha) {
  const rows = [];
  for (let row = 0; row < columns.state.length; row++) if (isBeyond(columns, row, alpha)) rows.push(row);
  const size = columns.score ? (row) => columns.score[row] : (row) => -columns.logProb[row];
  rows.sort((a, b) => columns.tail[a] - columns.tail[b] || (size(b) > size(a) ? 1 : size(b) < size(a) ? -1 : a - b));
  return Promise.all(
    rows.slice(0, MOST_SHOWN).map(async (row) => {
      const cells = await source.cells(row);
      return {
        row,
        score: columns.score?.[row],
        tail: columns.tail[row],
        logProb: columns.logProb[row],
        cells,
        unfamiliar: unfamiliarColumns(columns, source.names, row, cells),
      };
    }),
  );
}

// Names of the columns in which a row has a value that the training data had not, by the answers of the server: they name
// the rows, and the values, which tell where they name no more rows.
function unfamiliarColumns({ marked, unfamiliar }, names, row, cells) {
  const hasSuch = (name) => marked.get(name)[row] || unfamiliar.has(valueName(name, cells[names.indexOf(name)] ?? ""));
  return [...marked.keys()].filter(hasSuch);
}

/**
 * The file with the scores of its rows, as CSV: of CSV its own lines with more cells, of others a row for each row.
 * @returns {Promise<Blob>}
 */
export async function scoredFile(source, columns, alpha) {
  const delimiter = source.delimiter ?? ",";
  const added = columns.score ? ["score", "p_value", "anomaly", "log_prob"] : ["log_prob"];
  if (!columns.score && columns.tail) added.push("quantile");
  const taken = new Set(source.names);
  const names = added.map((name) => (taken.has(name) ? `bijecta_${name}` : name));
  const own = source.lines ? source.names.map((name) => quoted(name, delimiter)) : ["row"];
  const parts = [`${[...own, ...names].join(delimiter)}\r\n`];
  for (let from = 0; from < source.rows; from += WRITTEN_ROWS) {
    const to = Math.min(source.rows, from + WRITTEN_ROWS);
    const lines = source.lines ? await source.lines(from, to) : null;
    let text = "";
    for (let row = from; row < to; row++) {
      const scores = scoreCells(columns, row, alpha);
      text += `${lines ? lines[row - from] : row}${delimiter}${scores.join(delimiter)}\r\n`;
    }
    parts.push(text);
  }
  return new Blob(parts, { type: "text/csv" });
}

function scoreCells(columns, row, alpha) {
  const isScored = columns.state[row] === SCORED;
  const number = (value) => (isScored && !Number.isNaN(value) ? written(value) : "");
  if (columns.score) {
    const anomaly = isScored ? String(isBeyond(columns, row, alpha)) : "";
    return [number(columns.score[row]), number(columns.tail[row]), anomaly, number(columns.logProb[row])];
  }
  const found = [number(columns.logProb[row])];
  if (columns.tail) found.push(number(columns.tail[row]));
  return found;
}

// As the server writes it in CSV.
function written(value) {
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "inf" : "-inf";
}
