// How a row of one's own is made: by what rows are.

import { choice, h, labelled } from "../dom.js";
import { Easel } from "../draw/easel.js";
import { valueRange } from "../draw/images.js";
import { nested } from "../latents.js";
import { MAX_FORM_COLUMNS, dataRange, isOutsideData, shownTime } from "../model.js";
import { densityEditor } from "./density.js";

// An image of more numbers does not stand in the address.
const MOST_IN_ADDRESS = 1024;

const MISSING = "missing";
const OTHER = "(other)";

/**
 * The editor of a model.
 * @param {object} options the panel's context, and `onchange()`: there is another row
 * @returns {Promise<object>} `element`, and `rows()`: the row as fields of a request
 */
export async function editorOf(options) {
  const { model } = options;
  if (model.look === "points" && !model.isDetector) return densityEditor(options);
  if (model.look === "images" && !model.isDetector) return easelEditor(options);
  if (model.dimensions > MAX_FORM_COLUMNS || model.look === "sounds") return textEditor(options);
  return formEditor(options);
}

/** Rows to begin with: samples; of a detector, which draws none, one usual row. */
async function startingRows({ model, reference }) {
  if (!model.isDetector) return reference();
  const tested = model.manifest.self_test?.row;
  const usual = model.columns.map(({ low, high }, i) => (typeof tested?.[i] === "number" ? tested[i] : ((low ?? 0) + (high ?? 0)) / 2));
  return { count: 1, row: () => usual, words: tested };
}

/** A button that goes from one sample to the next. */
function nextSample(rows, show) {
  let i = 0;
  const next = () => {
    i = (i + 1) % rows.count;
    show(rows.row(i));
  };
  return h("button", { type: "button", onclick: next, hidden: rows.count < 2 }, "Start from another sample");
}

async function easelEditor({ model, state, reference, onchange }) {
  const rows = await reference();
  const range = valueRange(model.image, rows.data);
  const changed = () => {
    if (model.dimensions <= MOST_IN_ADDRESS) state.set({ row: Array.from(easel.row, (value) => Number(value.toPrecision(4))) });
    onchange();
  };
  const easel = new Easel(model.image, range, changed);
  // as training had them: whole numbers
  const whole = (value) => Math.min(Math.max(Math.round(value), range[0]), range[1]);
  const put = (row) => easel.show(model.manifest.dequantization ? Array.from(row, whole) : row);
  const show = (row) => {
    put(row);
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
  const given = state.numbers("row", model.dimensions);
  if (given) easel.show(given);
  else put(rows.row(0));
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show), wipe, brush), easel.canvas, h("p", { class: "hint" }, "Press and drag to paint; with Shift, to wipe. Keys: arrows, Space, Backspace.")),
    rows: () => ({ x: [nested(easel.row, model.eventShape)] }),
  };
}

/** All numbers of a row as text. */
async function textEditor(options) {
  const { model, onchange } = options;
  const rows = await startingRows(options);
  const area = h("textarea", { rows: 6, spellcheck: "false", oninput: onchange });
  const show = (row) => {
    area.value = Array.from(row, (value) => Number(value.toPrecision(6))).join(", ");
    onchange();
  };
  area.value = Array.from(rows.row(0), (value) => Number(value.toPrecision(6))).join(", ");
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show)), labelled(`${model.dimensions} numbers, with commas between them`, area)),
    rows: () => {
      const values = area.value.split(/[\s,;]+/).filter(Boolean).map(numberOrText);
      if (values.length !== model.dimensions) throw new Error(`A row of this model is ${model.dimensions} numbers; here are ${values.length}.`);
      return { x: [nested(values, model.eventShape)] };
    },
  };
}

/** A control for each column. */
async function formEditor(options) {
  const { model, state, onchange } = options;
  const rows = await startingRows(options);
  const given = parsed(state.get("row"));
  const controls = model.columns.map((column) => control(column));
  controls.forEach(({ input }) =>
    input.addEventListener("input", () => {
      state.set({ row: JSON.stringify(controls.map(({ read }) => read())) });
      onchange();
    }),
  );
  const fill = (row) => controls.forEach(({ write }, k) => write(model.isTyped ? valueOf(model, k, row[k]) : row[k]));
  fill(rows.row(0));
  if (rows.words && model.isTyped) controls.forEach(({ write }, k) => write(rows.words[k]));
  if (given?.length === controls.length) controls.forEach(({ write }, k) => write(given[k]));
  const show = (row) => {
    fill(row);
    state.set({ row: null });
    onchange();
  };
  return {
    element: h("div", {}, h("div", { class: "row" }, nextSample(rows, show)), h("div", { class: "form" }, ...controls.map(({ element }) => element))),
    rows: () => {
      const values = controls.map(({ read }) => read());
      if (!model.isTyped) return { x: [nested(values, model.eventShape)] };
      return { rows: [Object.fromEntries(model.columns.map(({ name }, k) => [name, values[k]]))] };
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

/** A number where a text is one; else the text, so that the server says what is wrong with it. */
function numberOrText(text) {
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** The control of a column: `read()` is its value as JSON has it, `write(value)` shows one. */
function control(column) {
  if (column.kind === "categorical") {
    const options = column.classes.map((word) => [JSON.stringify(word), String(word)]);
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
  const isTime = column.kind === "datetime";
  const input = h("input", { type: "text", inputmode: isTime ? null : "decimal", autocomplete: "off", placeholder: column.missing ? MISSING : null });
  const range = dataRange(column) && `data: ${dataRange(column)}`;
  const said = h("span", { class: "hint" }, range);
  const mark = () => {
    const isOutside = isOutsideData(column, input.value);
    said.classList.toggle("outside", isOutside);
    said.textContent = isOutside ? `outside the ${range}` : range;
  };
  input.addEventListener("input", mark);
  return {
    input,
    element: labelled(column.name, input, said),
    read: () => (input.value.trim() === "" ? null : isTime ? input.value.trim() : numberOrText(input.value)),
    write: (value) => {
      input.value = value === null || Number.isNaN(value) ? "" : typeof value === "number" ? Number(value.toPrecision(7)) : value;
      mark();
    },
  };
}

/** A number of a typed row as a value of its column's own kind. */
function valueOf(model, k, value) {
  const column = model.columns[k];
  if (value === null || Number.isNaN(value)) return null;
  if (column.kind === "categorical") return value < column.classes.length ? column.classes[value] : OTHER;
  return column.kind === "datetime" ? shownTime(column, value) : value;
}
