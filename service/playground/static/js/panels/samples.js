// Samples, drawn as what they are, anew with every seed and temperature.

import { NPY_TYPE } from "../ask.js";
import { h, labelled, slider } from "../dom.js";
import { imageOf, valueRange } from "../draw/images.js";
import { Plane, viewOf } from "../draw/plane.js";
import { soundOf } from "../draw/sounds.js";
import { tableOf } from "../draw/tables.js";
import { rowsOf } from "../reference.js";

// How many are drawn at first, and at most.
const COUNTS = { points: [500, 10_000], images: [24, 200], sounds: [4, 24], table: [8, 200], numbers: [8, 200] };
const MAX_SEED = 2 ** 32;

export const samples = {
  id: "samples",
  title: "Draw samples",
  hint: "Rows that the model makes up. The same seed gives the same rows; a low temperature keeps to what is usual.",
  fits: (model) => !model.isDetector,

  async mount(root, { model, ask, state, announce, latest, reference, signal }) {
    const [usual, most] = COUNTS[model.look];
    let n = state.number("n", usual, 1, most);
    let seed = state.number("seed", 1, 0, MAX_SEED);
    let temperature = state.number("temperature", 1, 0.05, 2);

    const drawing = h("div", { class: "drawing" });
    const draw = await drawerOf(model, drawing, reference, signal);
    const redraw = latest(async () => {
      const { array } = await ask("sample", { json: { n, seed, temperature }, accept: NPY_TYPE });
      draw(rowsOf(array, model.dimensions));
      state.set({ n, seed, temperature });
      announce(`${array.shape[0]} samples with seed ${seed} at temperature ${temperature} are drawn.`);
    });

    const seedInput = h("input", { type: "number", min: 0, max: MAX_SEED, step: 1, value: seed });
    seedInput.addEventListener("input", () => {
      const value = Number(seedInput.value);
      if (seedInput.value === "" || !Number.isInteger(value) || value < 0 || value > MAX_SEED) return;
      seed = value;
      redraw();
    });
    const countInput = h("input", { type: "number", min: 1, max: most, step: 1, value: n });
    countInput.addEventListener("input", () => {
      const value = Number(countInput.value);
      if (!Number.isInteger(value) || value < 1 || value > most) return;
      n = value;
      redraw();
    });
    const again = h("button", { type: "button", class: "primary" }, "Draw new samples");
    again.addEventListener("click", () => {
      seed = Math.floor(Math.random() * 1e6);
      seedInput.value = seed;
      redraw();
    });
    const heat = slider({
      text: "Temperature",
      min: 0.05,
      max: 2,
      step: 0.05,
      value: temperature,
      shown: (value) => value.toFixed(2),
      oninput: (value) => {
        temperature = value;
        redraw();
      },
    });
    root.append(
      h("div", { class: "row" }, again, labelled("Seed", seedInput), labelled("How many", countInput), heat.element),
      drawing,
    );
    await redraw();
  },
};

/** A function that draws rows of a model into an element. */
async function drawerOf(model, element, reference, signal) {
  if (model.look === "points") {
    let rows = null;
    const view = viewOf((await reference()).data);
    const names = model.columns.map(({ name }) => name);
    const plane = new Plane({
      label: `Samples of ${model.name} as points`,
      names,
      view,
      signal,
      backdrop: (self) => {
        self.axes();
        if (rows) self.points(rows.data);
      },
    });
    element.append(plane.canvas);
    return (drawn) => {
      rows = drawn;
      plane.paintAll();
    };
  }
  const all = (drawn) => Array.from({ length: drawn.count }, (_, i) => drawn.row(i));
  if (model.look === "images") {
    element.classList.add("images");
    return (drawn) => {
      const range = valueRange(model.image, drawn.data);
      element.replaceChildren(...all(drawn).map((row, i) => imageOf(row, model.image, range, `Sample ${i + 1}`)));
    };
  }
  if (model.look === "sounds") {
    element.classList.add("sounds");
    return (drawn) => element.replaceChildren(...all(drawn).map((row, i) => soundOf(row, model.sound, `sample ${i + 1}`)));
  }
  return (drawn) => element.replaceChildren(tableOf(model, all(drawn), { caption: `Samples of ${model.name}` }));
}
