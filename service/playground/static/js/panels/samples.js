// Samples, drawn as what they are, anew with every seed and temperature; one that is clicked on is taken by another panel.

import { CSV_TYPE, NPY_TYPE } from "../ask.js";
import { Entries, choice, h, labelled, linkTo, saveFile, slider } from "../dom.js";
import { rowsOf } from "../reference.js";
import { drawerOf } from "./samples_drawing.js";

// How many are drawn at first, and at most.
const COUNTS = { points: [500, 10_000], images: [24, 200], sounds: [4, 24], table: [8, 200], numbers: [8, 200] };
// Seeds that the server draws itself are as small.
const MAX_SEED = 2 ** 32 - 1;
// The server writes no wider CSV (service/codecs/flat_columns.py).
const MAX_CSV_COLUMNS = 2 ** 14;

export const samples = {
  id: "samples",
  title: "Draw samples",
  hint: "Rows that the model makes up. The same seed gives the same rows; a low temperature keeps to what is usual.",
  fits: (model) => !model.isDetector,

  async mount(root, { model, ask, state, announce, latest, reference, drawn, signal }) {
    const [usual, most] = COUNTS[model.look];
    let n = state.whole("n", usual, 1, most);
    let seed = state.whole("seed", 1, 0, MAX_SEED);
    const hottest = model.hasBox ? 1 : 2;
    let temperature = state.number("temperature", 1, 0.05, hottest);

    const drawing = h("div", { class: "drawing" });
    const taking = drawn.uses.length ? takingOf(drawn, state, announce) : null;
    const draw = await drawerOf({
      model,
      element: drawing,
      reference,
      signal,
      look: (i, text) => announce(`Sample ${i + 1}: ${text}`),
      take: taking?.take ?? null,
    });
    const redraw = latest(async () => {
      const { array } = await ask("sample", { json: { n, seed, temperature }, shown: model.shownAs, accept: NPY_TYPE });
      const rows = rowsOf(array, model.dimensions);
      draw(rows);
      drawn.show(rows);
      state.set({ n, seed, temperature });
      announce(`${rows.count} samples with seed ${seed} at temperature ${temperature} are drawn.`);
    });

    const entries = new Entries(drawing);
    const seedField = entries.number({
      text: "Seed",
      value: seed,
      min: 0,
      max: MAX_SEED,
      isWhole: true,
      onvalue: (value) => {
        seed = value;
        redraw();
      },
    });
    const countField = entries.number({
      text: "How many",
      value: n,
      min: 1,
      max: most,
      isWhole: true,
      onvalue: (value) => {
        n = value;
        redraw();
      },
    });
    const again = h("button", { type: "button", class: "primary" }, "Draw new samples");
    again.addEventListener("click", () => {
      seed = Math.floor(Math.random() * 1e6);
      seedField.set(seed);
      redraw();
    });
    const heat = slider({
      text: "Temperature",
      min: 0.05,
      max: hottest,
      step: 0.05,
      value: temperature,
      shown: (value) => value.toFixed(2),
      oninput: (value) => {
        temperature = value;
        redraw();
      },
    });
    heat.input.classList.add("wide");
    // of the same seed the same rows, with all of their digits and as the server reads them
    const keep = latest(async () => {
      const asked = { n, seed, temperature };
      const { blob } = await ask("sample", { json: asked, query: { output: "x" }, accept: CSV_TYPE });
      saveFile(blob, `${model.name}-samples-seed-${asked.seed}.csv`);
    });
    const save = h("button", { type: "button", hidden: model.dimensions > MAX_CSV_COLUMNS, onclick: keep }, "Download samples (CSV)");
    root.append(h("div", { class: "row" }, again, seedField.element, countField.element, heat.element, save));
    if (taking) root.append(taking.element);
    root.append(entries.note, drawing);
    await redraw();
  },
};

/** What a click on a sample does: a choice of that, and what the last click did. */
function takingOf(drawn, state, announce) {
  const uses = new Map(drawn.uses.map((use) => [use.key, use]));
  let key = uses.has(state.get("use")) ? state.get("use") : drawn.uses[0].key;
  const said = h("span");
  const select = choice(drawn.uses.map((use) => [use.key, use.text]), key, (value) => {
    key = value;
    state.set({ use: key });
  });
  drawn.follow(() => said.replaceChildren()); // others have that number now
  return {
    element: h("p", { class: "row" }, labelled("Click a sample, or press Enter on it, to", select), said),
    take(i) {
      const use = uses.get(key);
      const text = drawn.take(key, i) ? `Sample ${i + 1} is ${use.said}` : `Sample ${i + 1} is not taken: its panel is not ready yet`;
      said.replaceChildren(`${text}: `, linkTo(use.panel.id, use.panel.title));
      announce(`${text}.`);
    },
  };
}
