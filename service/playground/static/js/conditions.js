// What a conditional model is told beside a row: a control for each column of its context.

import { Entries, choice, h, labelled } from "./dom.js";
import { shownNumber } from "./model.js";

/**
 * Fill a form with the columns of a model's context.
 * @param {HTMLFormElement} form
 * @param {Model} model
 * @param {State} state keeps them as `context`
 * @param {HTMLElement} result what is made of them
 * @param {(values: Array) => void} onchange is called with the values of all columns
 * @returns {Array | null} the values; null of a model that is conditional on nothing
 */
export function fillConditions(form, model, state, result, onchange) {
  const entries = new Entries(result);
  form.replaceChildren();
  form.hidden = model.context === null;
  if (model.context === null) return null;
  const values = startingValues(model.context, state.get("context"));
  const set = (i, value) => {
    values[i] = value;
    state.set({ context: values.join(",") });
    onchange([...values]);
  };
  form.append(h("span", { class: "lead" }, "This model is conditional. Everything below is for rows of"));
  model.context.forEach((column, i) => {
    if (column.classes) {
      const options = column.classes.map((code, k) => [String(code), column.labels?.[k] ?? String(code)]);
      form.append(labelled(column.name, choice(options, String(values[i]), (value) => set(i, Number(value)))));
      return;
    }
    const more = [h("span", { class: "hint" }, `data: ${shownNumber(column.low)} to ${shownNumber(column.high)}`)];
    form.append(entries.number({ text: column.name, value: values[i], precision: model.precision, more, on: "change", onvalue: (value) => set(i, value) }).element);
  });
  form.append(entries.note);
  return values;
}

/**
 * Values of the context as a query string has them: a line of CSV, in which a class that has a name
 * goes by it.
 * @param {Array} columns of the context
 * @param {Array} values of them
 */
export function conditionLine(columns, values) {
  const texts = columns.map((column, i) => String(column.labels?.[column.classes.indexOf(values[i])] ?? values[i]));
  return texts.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",");
}

/** The values of a URL where they are some, else the first class and about the mean. */
function startingValues(columns, text) {
  const given = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const isGiven =
    given.length === columns.length &&
    columns.every((column, i) => (column.classes ? column.classes.includes(given[i]) : Number.isFinite(given[i])));
  return isGiven ? given : columns.map((column) => (column.classes ? column.classes[0] : shortMean(column)));
}

/** The mean, to a hundredth of the range, in few digits. */
function shortMean({ low, high, mean }) {
  if (!(high > low)) return mean;
  const digits = Math.min(Math.max(Math.ceil(2 - Math.log10(high - low)), 0), 100);
  const short = Number(mean.toFixed(digits)) + 0; // not -0
  return Math.min(Math.max(short, low), high);
}
