// Where the ends of a path are chosen, and what lies between is shown: by what rows are.

import { breakable, choice, h, labelled } from "../dom.js";
import { imageOf, paintImage, valueRange } from "../draw/images.js";
import { Plane, viewOf } from "../draw/plane.js";
import { paintWave, play } from "../draw/sounds.js";
import { isBeyond } from "../model.js";
import { beyondNote } from "./samples_drawing.js";

/**
 * The place of a model.
 * @param {object} options `model`, `reference`, `drawn`, `state`, `signal`, `onEnds()`: another end is chosen
 * @returns {Promise<object>} `element`; `steps` of the path to ask for; `ends()` are the rows `start` and `end`;
 *   `showPath(rows, start, end)` and `showPoint(row, t)` draw; where what they drew is not of the class `result`, `clear()`
 *   takes it away
 */
export async function placeOf(options) {
  if (options.model.look === "points") return plane(options, await options.reference());
  await options.drawn.first;
  const make = { images: pictures, sounds }[options.model.look] ?? columns;
  return make(options);
}

// Axes become longer by so many times their length at either end, for a path that leaves them.
const WIDEST = 2;

function plane({ model, drawn, state, signal, onEnds }, rows) {
  const { precision } = model;
  const end = (name, pick) => state.numbers(name, 2, precision) ?? Array.from(extremeOf(rows, pick), precision.shortest);
  const points = { a: end("a", Math.min), b: end("b", Math.max) };
  const usual = viewOf(rows.data);
  let held = "a";
  let isPressed = false;
  let way = null;
  let here = null;
  const drawing = new Plane({
    label: `The path from A to B among samples of ${model.name}. The arrow keys move A or B, Space changes which.`,
    names: model.columns.map(({ name }) => name),
    view: usual,
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
  const leaves = h("p", { class: "hint", hidden: true }, "The path leaves this plot: it leads through latents of which the model makes rows far away from the data.");
  const far = (point, end) => Math.hypot(...drawing.toPixel(point).map((value, axis) => value - drawing.toPixel(points[end])[axis]));
  /** Let the axes hold the path; while a point is dragged they stay, so that it stays below the pointer. */
  const fit = () => {
    if (isPressed || !way) return;
    const view = widened(usual, [...points.a, ...points.b], way);
    leaves.hidden = way.every((value, i) => value >= view[i & 1][0] && value <= view[i & 1][1]);
    if (String(view) === String(drawing.view)) return;
    drawing.view = view;
    drawing.paintAll();
  };
  const move = (end, point) => {
    points[end] = point;
    state.set({ [end]: point.join(",") });
    drawing.paint();
    onEnds();
  };
  drawing.movable({
    get: () => points[held],
    set: (point) => move(held, point.map((value) => Number(value.toPrecision(5)))), // a pointer is no more exact
    grab: (point) => {
      isPressed = true;
      held = far(point, "a") <= far(point, "b") ? "a" : "b";
    },
    release: () => {
      isPressed = false;
      fit();
    },
    signal,
  });
  drawing.canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    held = held === "a" ? "b" : "a";
  });
  for (const end of ["a", "b"]) drawn.onTake(end, (row) => move(end, Array.from(row, precision.shortest)));
  return {
    element: h("div", {}, drawing.canvas, leaves),
    steps: 1537, // between the halves of the demo's moons, chords of 513 are four pixels beside the path, of 1,537 one
    ends: () => ({ start: Float64Array.from(points.a), end: Float64Array.from(points.b) }),
    showPath: (path) => {
      way = path.flatMap((row) => Array.from(row));
      fit();
    },
    showPoint: (row) => {
      here = row;
      drawing.paint();
    },
    clear: () => {
      way = here = null;
      drawing.paint();
    },
  };
}

/**
 * A view that holds ends, and a path as far as it goes no farther than WIDEST; points are numbers x, y, x, y, …. Beyond ends
 * where rows are unlikely paths lead a thousand times as far, and nothing could be seen in a view of all that.
 */
function widened(view, ends, path) {
  return view.map(([low, high], axis) => {
    const of = (data) => data.filter((value, i) => (i & 1) === axis && Number.isFinite(value));
    const reach = WIDEST * (high - low);
    const values = [...of(ends), ...of(path).map((value) => Math.min(Math.max(value, low - reach), high + reach))];
    const [least, most] = [Math.min(low, ...values), Math.max(high, ...values)];
    const room = 0.05 * (most - least);
    return [least < low ? least - room : low, most > high ? most + room : high];
  });
}

/** The row that is farthest to one side. */
function extremeOf(rows, pick) {
  let found = rows.row(0);
  for (let i = 1; i < rows.count; i += 1) {
    const row = rows.row(i);
    if (pick(row[0], found[0]) === row[0]) found = row;
  }
  return found;
}

/**
 * Which two of the samples that are drawn are the ends, as the URL has it.
 * @param {object} options of the place
 * @param {() => void} show is called when others are chosen, or drawn
 */
function chosenSamples({ drawn, state, onEnds }, show) {
  const last = () => drawn.count - 1;
  const chosen = { a: state.whole("a", 0, 0, last()), b: state.whole("b", Math.min(1, last()), 0, last()) };
  const choose = (end, i) => {
    chosen[end] = i;
    state.set({ [end]: i });
    show();
    onEnds();
  };
  for (const end of ["a", "b"]) drawn.onTake(end, (_, i) => choose(end, i));
  drawn.follow(() => {
    for (const end of ["a", "b"]) {
      if (chosen[end] <= last()) continue;
      chosen[end] = last(); // fewer are drawn now
      state.set({ [end]: chosen[end] });
    }
    show();
    onEnds();
  });
  return { chosen, choose, ends: () => ({ start: drawn.row(chosen.a), end: drawn.row(chosen.b) }) };
}

function pictures(options) {
  const { model, drawn } = options;
  const { chosen, ends, choose } = chosenSamples(options, () => show());
  let range = null;
  const thumbnail = (end, i) =>
    h(
      "label",
      { title: `Sample ${i + 1}` },
      h("input", { type: "radio", name: `path-${end}`, checked: i === chosen[end], "aria-label": `Sample ${i + 1}`, onchange: () => choose(end, i) }),
      paintImage(h("canvas", { class: "pixels", "aria-hidden": "true" }), drawn.row(i), model.image, range),
    );
  const groups = { a: h("div", { class: "thumbnails" }), b: h("div", { class: "thumbnails" }) };
  let shown = null;
  const show = () => {
    if (shown !== drawn.rows) range = valueRange(model.image, drawn.data);
    for (const [end, group] of Object.entries(groups)) {
      if (shown !== drawn.rows) group.replaceChildren(...Array.from({ length: drawn.count }, (_, i) => thumbnail(end, i)));
      group.querySelectorAll("input")[chosen[end]].checked = true;
    }
    shown = drawn.rows;
  };
  show();
  const group = (end, title) => h("fieldset", {}, h("legend", {}, title), groups[end]);
  const here = h("canvas", { class: "pixels large result", role: "img", "aria-label": "The image at this point of the path" });
  const strip = h("div", { class: "strip result" });
  return {
    element: h("div", {}, group("a", "From A"), group("b", "to B"), here, strip),
    steps: 9,
    ends,
    showPath: (path) => strip.replaceChildren(...path.map((row, i) => imageOf(row, model.image, range, `Image ${i + 1} of 9 on the path`))),
    showPoint: (row) => paintImage(here, row, model.image, range),
  };
}

/** Two selects of the samples that are drawn. */
function selects(options) {
  const { drawn } = options;
  const { chosen, ends, choose } = chosenSamples(options, () => show());
  const select = (end) => choice([], null, (value) => choose(end, Number(value)));
  const both = { a: select("a"), b: select("b") };
  const show = () => {
    for (const [end, each] of Object.entries(both)) {
      if (each.options.length !== drawn.count) each.replaceChildren(...Array.from({ length: drawn.count }, (_, i) => h("option", { value: i }, `sample ${i + 1}`)));
      each.value = chosen[end];
    }
  };
  show();
  return { element: h("div", { class: "row" }, labelled("From A", both.a), labelled("to B", both.b)), ends };
}

function sounds(options) {
  const { model } = options;
  const { element, ends } = selects(options);
  const wave = h("canvas", { class: "wave result", role: "img", "aria-label": "The waveform at this point of the path" });
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

// Columns of a row that are shown.
const MAX_COLUMNS = 64;

function columns(options) {
  const { model } = options;
  const { element, ends } = selects(options);
  const shown = model.columns.slice(0, MAX_COLUMNS);
  const lines = shown.map(() => [h("td"), h("td", { class: "now" }), h("td")]);
  const note = beyondNote();
  const put = (place, row) => {
    lines.forEach((cells, k) => {
      cells[place].textContent = model.shown(k, row[k]);
      cells[place].classList.toggle("outside", isBeyond(shown[k], row[k]));
    });
    note.hidden = !lines.some((cells) => cells.some((cell) => cell.classList.contains("outside")));
  };
  const heads = ["column", "A", "between", "B"].map((name) => h("th", { scope: "col" }, name));
  const body = shown.map(({ name }, k) => h("tr", {}, h("th", { scope: "row" }, ...breakable(name)), ...lines[k]));
  const table = h("table", { class: "rotated result" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...body));
  return {
    element: h("div", {}, element, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The rows A, B, and between" }, table), note),
    steps: 2,
    ends,
    showPath: (path, start, end) => {
      put(0, start);
      put(2, end);
    },
    showPoint: (row) => put(1, row),
  };
}
