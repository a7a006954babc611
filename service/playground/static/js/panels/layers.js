// How the layers of a flow lead from latents to data: a grid and the latents of samples, layer by layer.

import { NPY_TYPE } from "../ask.js";
import { h, slider } from "../dom.js";
import { Plane, viewOf } from "../draw/plane.js";
import { flat, nested } from "../latents.js";
import { writeNpy } from "../npy.js";

// Samples of which the latents are followed, lines of the grid in each direction, and points of a line.
const POINTS = 600;
const LINES = 11;
const LINE_POINTS = 41;
// The whole way takes so long when it is played.
const PLAY_MS = 1500;

const QUARTERS = ["first", "second", "third", "fourth"];

export const layers = {
  id: "layers",
  title: "Layer by layer",
  hint: "Drag the slider: each layer bends the plane a little, until the model's simple noise has become data.",
  fits: (model) => Boolean(model.manifest.layers) && model.dimensions === 2,

  async mount(root, { model, ask, state, announce, latest, reference, signal }) {
    const { names } = model.manifest.layers;
    const rows = await reference();
    const count = Math.min(POINTS, rows.count);
    const x = Array.from({ length: count }, (_, i) => nested(rows.row(i), model.eventShape));
    const { json } = await ask("encode", { json: { x }, quiet: true });
    const z = flat(json.z);
    const asked = Float64Array.from([...z, ...gridOf(viewOf(z))]);
    const body = writeNpy(Float32Array.from(asked), [asked.length / 2, ...model.latentShape]);
    const { array } = await ask("layers", { body, type: NPY_TYPE, file: "z.npy", accept: NPY_TYPE });
    // states[k] are the points after k layers: x, y, x, y, …
    const steps = names.length;
    const states = Array.from({ length: steps + 1 }, (_, k) =>
      Float64Array.from({ length: asked.length }, (_, i) => array.data[((i >> 1) * (steps + 1) + k) * 2 + (i & 1)]),
    );
    const views = states.map((points) => viewOf(points.subarray(0, 2 * count)));
    const quarters = quartersOf(z);
    let place = Math.min(state.number("k", 0, 0, steps), steps);

    const plane = new Plane({
      label: `The plane of ${model.name} after a number of layers`,
      names: ["first coordinate", "second coordinate"],
      view: views[0],
      signal,
      paint: (self) => {
        const k = Math.min(Math.floor(place), steps - 1);
        const mix = (from, to) => from + (place - k) * (to - from);
        self.view = views[k].map((axis, a) => axis.map((end, e) => mix(end, views[k + 1][a][e])));
        const points = states[k].map((value, i) => mix(value, states[k + 1][i]));
        self.axes();
        for (let line = 0; line < 2 * LINES; line += 1) {
          const begin = 2 * (count + line * LINE_POINTS);
          self.curve(points.subarray(begin, begin + 2 * LINE_POINTS), { colour: "line", width: 1 });
        }
        quarters.forEach((members, q) => self.points(members.flatMap((i) => [points[2 * i], points[2 * i + 1]]), { colour: QUARTERS[q], radius: 2 }));
      },
    });
    const where = (k) => `${Math.round(10 * k) / 10} of ${steps}`;
    const said = h("p", { class: "readout" });
    const go = (k) => {
      place = k;
      plane.paint();
      const next = names[Math.min(Math.floor(k), steps - 1)];
      said.textContent = k === steps ? "This is the data." : `${k === 0 ? "These are the latents. " : ""}The next layer is ${next}.`;
      state.set({ k: Number(k.toFixed(2)) });
    };
    let stop = () => {};
    const chosen = (k) => {
      stop(); // who takes the slider has it
      go(k);
    };
    const way = slider({ text: "Layers passed", min: 0, max: steps, step: 0.02, value: place, shown: where, oninput: chosen });
    way.input.classList.add("wide");
    way.input.addEventListener("change", () => announce(`Layers passed: ${where(place)}. ${said.textContent}`));
    const set = (k) => {
      way.input.value = k;
      way.say();
      go(k);
    };
    let plays = false;
    const run = latest(async () => {
      let isOver = false;
      stop = () => {
        isOver = true;
      };
      plays = true;
      play.textContent = "Stop";
      await playFrom(set, steps, () => isOver || signal.aborted);
      plays = false;
      play.textContent = "Play";
    });
    const play = h("button", { type: "button", onclick: () => (plays ? stop() : run()) }, "Play");
    root.append(plane.canvas, h("div", { class: "row" }, play, way.element), said);
    go(place);
  },
};

/** Lines of a grid over a view: those that go up, then those that go across. */
function gridOf(view) {
  const points = [];
  const at = (axis, i, n) => view[axis][0] + (i / (n - 1)) * (view[axis][1] - view[axis][0]);
  for (const [fixed, free] of [[0, 1], [1, 0]]) {
    for (let line = 0; line < LINES; line += 1) {
      for (let i = 0; i < LINE_POINTS; i += 1) {
        const point = [0, 0];
        point[fixed] = at(fixed, line, LINES);
        point[free] = at(free, i, LINE_POINTS);
        points.push(...point);
      }
    }
  }
  return points;
}

/** The numbers of the points in each quarter of the plane around their middle. */
function quartersOf(z) {
  const middle = [0, 1].map((axis) => z.filter((_, i) => (i & 1) === axis).sort((a, b) => a - b)[z.length >> 2]);
  const quarters = [[], [], [], []];
  for (let i = 0; i < z.length / 2; i += 1) quarters[(z[2 * i] > middle[0] ? 1 : 0) + (z[2 * i + 1] > middle[1] ? 2 : 0)].push(i);
  return quarters;
}

/** Go from latents to data, unless it is over; who wants little motion sees one layer after another. */
async function playFrom(set, steps, isOver) {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const began = performance.now();
  const duration = PLAY_MS * Math.sqrt(steps);
  for (let k = 0; k < steps; ) {
    const now = await new Promise(requestAnimationFrame);
    if (isOver()) return;
    k = Math.min(1, Math.max(0, now - began) / duration) * steps;
    set(isStill ? Math.floor(k) : k);
  }
}
