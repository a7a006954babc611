// Where the ends of a path are chosen, and what lies between is shown: by what rows are.

import { choice, h, labelled } from "../dom.js";
import { imageOf, paintImage, valueRange } from "../draw/images.js";
import { Plane, viewOf } from "../draw/plane.js";
import { paintWave, play } from "../draw/sounds.js";

/**
 * The place of a model.
 * @param {object} options `model`, `rows` (its reference), `state`, `signal`, `onEnds()`: another end is chosen
 * @returns {object} `element`; `steps` of the path to ask for; `ends()` are the rows `start` and `end`;
 *   `showPath(rows, start, end)` and `showPoint(row, t)` draw
 */
export function placeOf(options) {
  const make = { points: plane, images: pictures, sounds }[options.model.look] ?? columns;
  return make(options);
}

const text = (point) => point.map((value) => Number(value.toPrecision(5))).join(",");

function plane({ model, rows, state, signal, onEnds }) {
  const points = { a: state.numbers("a", 2) ?? extremeOf(rows, Math.min), b: state.numbers("b", 2) ?? extremeOf(rows, Math.max) };
  let held = "a";
  let way = null;
  let here = null;
  const drawing = new Plane({
    label: `The path from A to B among samples of ${model.name}. The arrow keys move A or B, Space changes which.`,
    names: model.columns.map(({ name }) => name),
    view: viewOf(rows.data),
    signal,
    backdrop: (self) => {
      self.axes();
      self.points(rows.data, { colour: "soft", radius: 1.5, alpha: 0.35 });
    },
    paint: (self) => {
      if (way) self.curve(way, { colour: "accent", width: 3 });
      self.marker(points.a, { colour: "other", text: "A" });
      self.marker(points.b, { colour: "other", text: "B" });
      if (here) self.marker(here);
    },
  });
  const far = (point, end) => Math.hypot(...drawing.toPixel(point).map((value, axis) => value - drawing.toPixel(points[end])[axis]));
  const move = (end, point) => {
    points[end] = point.map((value) => Number(value.toPrecision(5)));
    state.set({ [end]: text(points[end]) });
    drawing.paint();
    onEnds();
  };
  drawing.movable({
    get: () => points[held],
    set: (point) => move(held, point),
    grab: (point) => {
      held = far(point, "a") <= far(point, "b") ? "a" : "b";
    },
    signal,
  });
  drawing.canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    held = held === "a" ? "b" : "a";
  });
  return {
    element: drawing.canvas,
    steps: 129,
    ends: () => ({ start: Float64Array.from(points.a), end: Float64Array.from(points.b) }),
    showPath: (path) => {
      way = path.flatMap((row) => Array.from(row));
    },
    showPoint: (row) => {
      here = row;
      drawing.paint();
    },
  };
}

/** The row that is farthest to one side. */
function extremeOf(rows, pick) {
  let found = Array.from(rows.row(0));
  for (let i = 1; i < rows.count; i += 1) {
    const row = Array.from(rows.row(i));
    if (pick(row[0], found[0]) === row[0]) found = row;
  }
  return found.map((value) => Number(value.toPrecision(5)));
}

/** Which two of the reference rows are the ends, as the URL has it. */
function chosenRows(rows, state, onEnds) {
  const chosen = { a: state.number("a", 0, 0, rows.count - 1), b: state.number("b", Math.min(1, rows.count - 1), 0, rows.count - 1) };
  return {
    chosen,
    ends: () => ({ start: rows.row(chosen.a), end: rows.row(chosen.b) }),
    choose: (end, i) => {
      chosen[end] = i;
      state.set({ [end]: i });
      onEnds();
    },
  };
}

function pictures({ model, rows, state, onEnds }) {
  const { chosen, ends, choose } = chosenRows(rows, state, onEnds);
  const range = valueRange(model.image, rows.data);
  const group = (end, title) =>
    h(
      "fieldset",
      {},
      h("legend", {}, title),
      h(
        "div",
        { class: "thumbnails" },
        ...Array.from({ length: rows.count }, (_, i) =>
          h(
            "label",
            {},
            h("input", { type: "radio", name: `path-${end}`, checked: i === chosen[end], "aria-label": `Sample ${i + 1}`, onchange: () => choose(end, i) }),
            paintImage(h("canvas", { class: "pixels", "aria-hidden": "true" }), rows.row(i), model.image, range),
          ),
        ),
      ),
    );
  const here = h("canvas", { class: "pixels large", role: "img", "aria-label": "The image at this point of the path" });
  const strip = h("div", { class: "strip" });
  return {
    element: h("div", {}, group("a", "From A"), group("b", "to B"), here, strip),
    steps: 9,
    ends,
    showPath: (path) => strip.replaceChildren(...path.map((row, i) => imageOf(row, model.image, range, `Image ${i + 1} of 9 on the path`))),
    showPoint: (row) => paintImage(here, row, model.image, range),
  };
}

/** Two selects of reference rows. */
function selects(rows, state, onEnds) {
  const { chosen, ends, choose } = chosenRows(rows, state, onEnds);
  const options = Array.from({ length: rows.count }, (_, i) => [String(i), `sample ${i + 1}`]);
  const select = (end, title) => labelled(title, choice(options, String(chosen[end]), (value) => choose(end, Number(value))));
  return { element: h("div", { class: "row" }, select("a", "From A"), select("b", "to B")), ends };
}

function sounds({ model, rows, state, onEnds }) {
  const { element, ends } = selects(rows, state, onEnds);
  const wave = h("canvas", { class: "wave", role: "img", "aria-label": "The waveform at this point of the path" });
  let here = null;
  const button = (title, row) => h("button", { type: "button", onclick: () => row() && play(row(), model.sound) }, title);
  const buttons = h("div", { class: "row" }, button("Play A", () => ends().start), button("Play what is between", () => here), button("Play B", () => ends().end));
  return {
    element: h("div", {}, element, h("div", { class: "sound" }, wave), buttons),
    steps: 2,
    ends,
    showPath: () => {},
    showPoint: (row) => {
      here = row;
      paintWave(wave, row);
    },
  };
}

// Rows of a table that are shown.
const MAX_ROWS = 64;

function columns({ model, rows, state, onEnds }) {
  const { element, ends } = selects(rows, state, onEnds);
  const shown = model.columns.slice(0, MAX_ROWS);
  const lines = shown.map(() => [h("td"), h("td", { class: "now" }), h("td")]);
  const put = (place, row) => lines.forEach((cells, k) => (cells[place].textContent = model.shown(k, row[k])));
  const heads = ["column", "A", "between", "B"].map((name) => h("th", { scope: "col" }, name));
  const body = shown.map(({ name }, k) => h("tr", {}, h("th", { scope: "row" }, name), ...lines[k]));
  const table = h("table", { class: "rotated" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...body));
  return {
    element: h("div", {}, element, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The rows A, B, and between" }, table)),
    steps: 2,
    ends,
    showPath: (path, start, end) => {
      put(0, start);
      put(2, end);
    },
    showPoint: (row) => put(1, row),
  };
}
