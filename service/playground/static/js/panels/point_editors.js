// How a row of one's own is made: by what rows are.

import { choice, h, labelled } from "../dom.js";
import { Easel } from "../draw/easel.js";
import { valueRange } from "../draw/images.js";
import { nested } from "../latents.js";
import { MAX_FORM_COLUMNS, OTHER, dataRange, isOutsideData, shownTime } from "../model.js";
import { readNumber } from "../numbers.js";
import { densityEditor } from "./density.js";

// An image of more numbers does not stand in the address.
const MOST_IN_ADDRESS = 1024;

const MISSING = "missing";

// Values of a row that has no finite answer are to blame from so many times the largest value of the samples on.
const FAR = 10;

// A density of typed columns computes values beyond so many steps, or widths, as if they were there: models/columns/numbers.py.
const LARGEST = 1e30;
const SATURATED = "so far away, all values are scored alike";

/**
 * The editor of a model.
 * @param {object} options the panel's context, `entries` (see dom.js) of its fields, and `onchange()`: there is another row
 * @returns {Promise<object>} `element`; `rows()`: the row as fields of a request; `show(row)`: take a row of numbers; `keep()`:
 *   write the row into the address; and, where it has fields of its own, `farAway()`: the inputs of values far from the data,
 *   and `refuse(problem)`, see `formEditor`
 */
export async function editorOf(options) {
  const { model } = options;
  if (model.look === "points" && !model.isDetector) return densityEditor(options);
  if (model.look === "images" && !model.isDetector) return easelEditor(options);
  if (model.dimensions > MAX_FORM_COLUMNS || model.look === "sounds") return textEditor(options);
  return formEditor(options);
}

/** Rows to begin with: the samples that are drawn; of a detector, which draws none, one usual row. */
async function startingRows({ model, drawn }) {
  if (!model.isDetector) {
    await drawn.first;
    return drawn;
  }
  const tested = model.manifest.self_test?.row;
  const usual = model.columns.map(({ low, high }, i) => (typeof tested?.[i] === "number" ? tested[i] : ((low ?? 0) + (high ?? 0)) / 2));
  return { count: 1, row: () => usual, words: tested };
}

/** A button that goes from one sample to the next. */
function nextSample(rows, show) {
  let i = 0;
  const next = () => (i + 1) % rows.count;
  const go = () => {
    i = next();
    show(rows.row(i));
    say();
  };
  const button = h("button", { type: "button", onclick: go });
  const say = () => {
    button.textContent = `Start from sample ${next() + 1}`;
    button.hidden = rows.count < 2;
  };
  rows.follow?.(say); // others may be fewer
  say();
  return button;
}

async function easelEditor(options) {
  const { model, state, onchange } = options;
  const rows = await startingRows(options);
  const range = valueRange(model.image, rows.data);
  const keep = () => {
    if (model.dimensions <= MOST_IN_ADDRESS) state.set({ row: Array.from(easel.row, model.precision.shortest) });
  };
  const changed = () => {
    keep();
    onchange();
  };
  const easel = new Easel(model.image, range, changed);
  const show = (row) => {
    easel.show(row);
    changed();
  };
  const blank = new Float64Array(model.dimensions).fill(range[0]);
  const colour = h("input", { type: "color", value: "#ffffff", oninput: () => setBrush(colour.value) });
  const setBrush = (text) => {
    easel.brush = [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
  };
  const shade = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1, oninput: () => easel.brush.fill(Number(shade.value)) });
  const brush = model.image.channels === 3 ? labelled("Colour", colour) : labelled("Brightness", shade);
  const wipe = h("button", { type: "button", onclick: () => show(blank) }, "Wipe all");
  easel.show(state.numbers("row", model.dimensions, model.precision) ?? rows.row(0));
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show), wipe, brush), easel.canvas, h("p", { class: "hint" }, "Press and drag to paint; with Shift, to wipe. Keys: arrows, Space, Backspace.")),
    rows: () => ({ x: [nested(easel.row, model.eventShape)] }),
    show,
    keep,
  };
}

/** All numbers of a row as text. */
async function textEditor(options) {
  const { model, state, entries, onchange } = options;
  const rows = await startingRows(options);
  const area = h("textarea", { rows: 6, spellcheck: "false" });
  const field = labelled(`${model.dimensions} numbers, with commas between them`, area);
  const read = () => area.value.split(/[\s,;]+/).filter(Boolean).map((text, k) => (isNothing(text, model.columns[k]) ? { value: null, fault: "" } : readNumber(text, model.precision)));
  const check = () => {
    const found = read();
    const wrong = found.findIndex(({ fault }) => fault);
    const said = wrong >= 0 ? `Number ${wrong + 1} of the row: ${found[wrong].fault}.` : `A row of this model is ${model.dimensions} numbers; here are ${found.length}.`;
    entries.refuse(area, wrong < 0 && found.length === model.dimensions ? null : said);
  };
  const keep = () => {
    if (!entries.isRefused && model.dimensions <= MOST_IN_ADDRESS) state.set({ row: area.value });
  };
  const changed = () => {
    check();
    keep();
    onchange();
  };
  area.addEventListener("input", changed);
  const fill = (row) => {
    area.value = Array.from(row, model.precision.shortest).join(", ");
  };
  const show = (row) => {
    fill(row);
    changed();
  };
  fill(rows.row(0));
  if (state.get("row")) {
    area.value = state.get("row");
    check();
  }
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show)), field),
    rows: () => ({ x: [nested(read().map(({ value }) => value), model.eventShape)] }),
    show,
    keep,
    farAway: () => [area],
  };
}

/** A control for each column. */
async function formEditor(options) {
  const { model, state, entries, onchange } = options;
  const rows = await startingRows(options);
  const given = parsed(state.get("row"));
  const controls = model.columns.map((column) => control(column, model, entries));
  controls.forEach(({ input }) =>
    input.addEventListener("input", () => {
      entries.lift();
      keep();
      onchange();
    }),
  );
  const keep = () => {
    if (!entries.isRefused) state.set({ row: JSON.stringify(controls.map(({ read }) => read())) });
  };
  const fill = (row) => controls.forEach(({ write }, k) => write(model.isTyped ? model.valueOf(k, row[k]) : row[k]));
  fill(rows.row(0));
  if (rows.words && model.isTyped) controls.forEach(({ write }, k) => write(rows.words[k]));
  if (given?.length === controls.length) controls.forEach(({ write }, k) => write(given[k]));
  const show = (row) => {
    fill(row);
    keep();
    onchange();
  };
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show)), h("div", { class: "form" }, ...controls.map(({ element }) => element))),
    rows: () => {
      const values = controls.map(({ read }) => read());
      if (!model.isTyped) return { x: [nested(values, model.eventShape)] };
      return { rows: [Object.fromEntries(model.columns.map(({ name }, k) => [name, values[k]]))] };
    },
    show,
    keep,
    /** Whether a refusal of the server is of one field: then it is said there, in the words of the form. */
    refuse: ({ column, detail = "" }) => {
      const k = typeof column === "number" ? column : model.columns.findIndex(({ name }) => name === column);
      if (!controls[k]?.refuse || detail.startsWith("context")) return false;
      controls[k].refuse();
      return true;
    },
    farAway: () => {
      const values = controls.map(({ read }) => read());
      const drawnUpTo = (k) => Math.max(...Array.from({ length: rows.count }, (_, i) => Math.abs(rows.row(i)[k])));
      // where the manifest says no range, what is drawn says how large values are
      const isFar = ({ isOutside }, k) => isOutside?.() || (!model.isTyped && Math.abs(values[k]) > FAR * drawnUpTo(k));
      return controls.filter(isFar).map(({ input }) => input);
    },
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Whether a text stands for no value, in a column that may lack one. */
const isNothing = (text, column) => Boolean(column?.missing) && ["", MISSING, "nan"].includes(text.trim().toLowerCase());

/** What a column takes, for people. */
function takenBy(column) {
  const { kind, low, high, step, origin, closed, duration, missing } = column;
  let taken = "a number";
  if (kind === "datetime") taken = `a time such as ${shownTime(column, low)}`;
  else if (duration) taken = "a duration such as 01:30:00, or its seconds";
  else if (kind === "lattice" && step === 1 && origin % 1 === 0) taken = "a whole number";
  else if (kind === "lattice") taken = `a number in steps of ${step}${origin ? ` counted from ${origin}` : ""}`;
  return `${taken}${closed ? ` from ${low} to ${high}` : ""}${missing ? ", or nothing" : ""}`;
}

/** Whether a number lies so far from the data of its column that a density tells it from no other. */
function isSaturated({ kind, step, low, high }, value) {
  return value !== null && Math.abs(value - low) > LARGEST * (kind === "lattice" ? step : high - low);
}

/**
 * The control of a column: `read()` is its value as JSON has it, `write(value)` shows one, `refuse()` says of what stands in
 * it that the column does not take it, and `isOutside()` whether it lies outside the data.
 */
function control(column, { precision, isDetector }, entries) {
  if (column.kind === "categorical") {
    // in the manifest the most frequent one is the first
    const options = column.classes.map((word) => [JSON.stringify(word), String(word)]).sort(([, a], [, b]) => a.localeCompare(b, "en", { numeric: true }));
    if (column.other) options.push([JSON.stringify(OTHER), "any other"]);
    if (column.missing) options.push(["null", MISSING]);
    const input = choice(options, null, () => {});
    return {
      input,
      element: labelled(column.name, input),
      read: () => JSON.parse(input.value),
      write: (value) => {
        input.value = JSON.stringify(value);
        if (input.selectedIndex < 0) input.selectedIndex = 0;
      },
    };
  }
  // what a text is of a time or a duration, the server knows
  const isNumber = column.kind !== "datetime" && !column.duration;
  const input = h("input", { type: "text", inputmode: isNumber ? "decimal" : null, autocomplete: "off", placeholder: column.missing ? MISSING : null });
  const range = dataRange(column) && `data: ${dataRange(column)}`;
  const said = h("span", { class: "hint" }, range);
  const element = labelled(column.name, input, said);
  const found = () => readNumber(input.value, precision);
  const number = () => (column.kind === "datetime" ? null : found().value);
  const fault = () => (column.kind !== "datetime" && found().fault) || (input.value.trim() ? `“${input.value.trim()}” is none` : "here is nothing");
  const read = () => (isNothing(input.value, column) ? null : number() ?? input.value.trim());
  const refuse = () => entries.refuse(input, `${column.name} takes ${takenBy(column)}; ${fault()}.`);
  const look = () => {
    const isOutside = isOutsideData(column, String(number() ?? ""));
    said.classList.toggle("outside", isOutside);
    said.textContent = `${isOutside ? "outside the " : ""}${range}${!isDetector && isSaturated(column, number()) ? `; ${SATURATED}` : ""}`;
    if (read() === "" || (isNumber && typeof read() === "string")) refuse();
    else entries.refuse(input, null);
  };
  input.addEventListener("input", look);
  return {
    input,
    element,
    read,
    refuse,
    isOutside: () => said.classList.contains("outside"),
    write: (value) => {
      input.value = value === null || Number.isNaN(value) ? "" : typeof value === "number" ? precision.shortest(value) : value;
      look();
    },
  };
}
