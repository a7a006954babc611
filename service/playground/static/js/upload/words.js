// What is said of a file's scores, and its rows beyond the level.

import { h } from "../dom.js";
import { dataRange, isOutsideData, shownNumber } from "../model.js";

// Columns of a file that are shown beside the scores.
const MOST_COLUMNS = 12;

const count = (number) => number.toLocaleString("en");
const percent = (share) => `${shownNumber(100 * share, 3)} %`;
const rowsOf = (number) => `${count(number)} ${number === 1 ? "row" : "rows"}`;

/** Of a CSV file whose first line holds numbers alone. */
export const AS_NAMES = "Its first line holds numbers, and was taken for the names of the columns: if it is a row, put a line of names above it.";

/** What came of a file, in a few sentences. */
export function summary({ scored, seconds, alpha, picture, isDetector, isRankedWithin, unfamiliar, names, hasRowAsNames }, { manifest }) {
  const sentences = [`${rowsOf(scored)} in ${shownNumber(seconds, 2)} s.`];
  const share = `${rowsOf(picture.beyondCount)} (${percent(picture.beyondCount / Math.max(1, scored))})`;
  const alarms = `Alarms: ${share}`;
  if (isDetector) sentences.push(`${alarms}, with a p-value of at most ${alpha}. Of normal rows it would be about ${percent(alpha)}.`);
  else if (isRankedWithin) sentences.push(`${alarms}, the least likely of this file: the model has no calibration, so that rows are compared with one another.`);
  else sentences.push(`${alarms}, as unlikely as the least likely ${percent(alpha)} of the held-out rows.`);
  if (picture.infinite) sentences.push(`${rowsOf(picture.infinite)} cannot occur, by the model: not in the histogram.`);
  if (picture.below + picture.above) sentences.push(`${rowsOf(picture.below + picture.above)} beyond the ends of the axis, in the outermost bars, the farthest at ${shownNumber(picture.above ? picture.largest : picture.smallest)}.`);
  for (const { column, value, expected, count: number, first } of unfamiliar) {
    const where = `${JSON.stringify(value)} in ${number === 1 ? `row ${count(first + 1)}` : `${rowsOf(number)}, first in row ${count(first + 1)}`}`;
    sentences.push(
      expected === undefined
        ? `Column ${column} has ${where}, which the training data had not.`
        : `Column ${column} is ${where}, and ${JSON.stringify(expected)} in all of the training data.`,
    );
  }
  // a model of data without names takes any
  const takesAnyNames = names.length > 0 && !Array.isArray(manifest.columns);
  if (takesAnyNames && hasRowAsNames) sentences.push(AS_NAMES);
  else if (takesAnyNames) sentences.push(`The first line was taken for the names of the columns (${names.slice(0, MOST_COLUMNS).join(", ")}${names.length > MOST_COLUMNS ? ", …" : ""}), and they for the numbers of a row in this order.`);
  if (!names.length) sentences.push("In the scored file the column row counts from 0.");
  return sentences.join(" ");
}

/** What is said of rows that have no answer; empty where all have one. */
export function skipped({ rows, failed, failures }) {
  if (!failed) return "";
  return `Skipped: ${count(failed)} of ${rowsOf(rows)}, without an answer: ${failures.join("; ")}${failed > failures.length ? "; …" : ""}.`;
}

/** What rows of a model have, for a file that has something else; nothing where the message has said it. */
export function expectation({ name, columns, manifest }, message) {
  const isNamed = Array.isArray(manifest.columns);
  if (isNamed && columns.slice(0, 2).every((column) => message.includes(`'${column.name}'`))) return "";
  if (!isNamed) return ` Rows of ${name} have ${columns.length} numbers.`;
  const named = columns.slice(0, MOST_COLUMNS).map((column) => column.name);
  return ` Rows of ${name} have the columns ${named.join(", ")}${named.length < columns.length ? `, … (${columns.length} in all)` : ""}.`;
}

/** What of a row the training data had not, by column: values that it had not, and numbers beyond those that it had. */
function outside({ cells, logProb, unfamiliar }, columns, model) {
  const found = new Map(unfamiliar.map((name) => [name, `${name}: not in the data`]));
  for (const column of model.columns) {
    const cell = cells[columns.indexOf(column.name)] ?? "";
    if (isOutsideData(column, cell)) found.set(column.name, `${column.name}: data ${dataRange(column)}`);
  }
  if (!found.size && logProb === -Infinity) found.set(null, "cannot occur, by the model");
  return found;
}

/** The rows beyond the level as a table; nothing where there is none. */
export function rowsTable({ beyond, picture, names, isDetector }, model) {
  if (!beyond.length) return [];
  const width = Math.min(MOST_COLUMNS, beyond[0].cells.length);
  const columns = names.length ? names : model.columns.map(({ name }) => name);
  const scores = isDetector ? ["score", "p-value", "log-density (nats)"] : ["log-density (nats)", "quantile"];
  const remarks = beyond.map((row) => outside(row, columns, model));
  const isRemarked = remarks.some(({ size }) => size > 0);
  const heads = ["row", ...scores, ...(isRemarked ? ["outside the data"] : []), ...columns.slice(0, width)];
  const caption = `The ${beyond.length < picture.beyondCount ? `${beyond.length} most unusual of ${count(picture.beyondCount)} rows` : rowsOf(beyond.length)} beyond the level${width < beyond[0].cells.length || width < names.length ? `, and the first ${width} columns` : ""}`;
  const scoresOf = ({ score, tail, logProb }) => (isDetector ? [score, tail, logProb] : [logProb, tail]);
  return [
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      h(
        "table",
        {},
        h("caption", {}, caption),
        h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          ...beyond.map((row, i) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, count(row.row + 1)),
              ...scoresOf(row).map((value) => h("td", {}, shownNumber(value))),
              isRemarked ? h("td", { class: "outside" }, [...remarks[i].values()].join("; ")) : null,
              ...row.cells.slice(0, width).map((cell, k) => h("td", { class: remarks[i].has(columns[k]) ? "outside" : null }, cell)),
            ),
          ),
        ),
      ),
    ),
  ];
}
