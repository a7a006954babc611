// The density of a model of two numbers as a map, and a point in it.

import { NPY_TYPE } from "../ask.js";
import { h } from "../dom.js";
import { viridis } from "../draw/colours.js";
import { Plane, viewOf } from "../draw/plane.js";
import { shownNumber } from "../model.js";
import { writeNpy } from "../npy.js";

// Columns and rows of the map: a coarse one is there at once.
const GRIDS = [
  [32, 24],
  [128, 96],
];
// The scale ends so many nats below the highest density: what is less likely has one colour.
const DEPTH = 8;

/** See `editorOf` in point_editors.js. */
export async function densityEditor({ model, ask, state, latest, reference, drawn, signal, entries, onchange }) {
  const rows = await reference();
  await drawn.first;
  const view = viewOf(rows.data);
  const names = model.columns.map(({ name }) => name);
  const { precision } = model;
  let here = state.numbers("x", 2, precision) ?? Array.from(drawn.row(0), precision.shortest);
  let map = null;

  const plane = new Plane({
    label: `Log-density of ${model.name} as a map, and your point. The arrow keys move the point.`,
    names,
    view,
    signal,
    backdrop: (self) => {
      if (map) self.picture(map);
      self.axes();
    },
    paint: (self) => self.marker(here, { colour: entries.isRefused ? "soft" : "mark" }),
  });
  entries.onChange(() => plane.paint());
  const fields = names.map((text, axis) =>
    entries.number({
      text,
      value: here[axis],
      precision,
      onvalue: (number) => {
        here = here.map((value, k) => (k === axis ? number : value));
        moved();
      },
    }),
  );
  const keep = () => state.set({ x: here.join(",") });
  const moved = () => {
    entries.lift();
    keep();
    sayWhere();
    plane.paint();
    onchange();
  };
  const show = (point) => {
    here = Array.from(point, precision.shortest);
    fields.forEach(({ set }, axis) => set(here[axis]));
    moved();
  };
  // a pointer is no more exact
  const place = (point) => show(point.map((value) => Number(value.toPrecision(4))));
  plane.movable({ get: () => here, set: place, signal });

  const where = h("p", { class: "hint", role: "status" });
  const sayWhere = () => {
    const sides = sidesOf(here, view);
    where.textContent = sides ? `Your point lies outside the map (${sides}): the arrow at its edge points to it.` : "";
  };
  sayWhere();

  const legend = h("p", { class: "legend" });
  const draw = latest(async () => {
    for (const [width, height] of GRIDS) {
      const grid = gridOf(view, width, height);
      const { array } = await ask("log_prob", { body: writeNpy(grid, [width * height, 2]), type: NPY_TYPE, accept: NPY_TYPE, quiet: true });
      const top = array.data.reduce((most, value) => (value > most ? value : most), -Infinity);
      map = mapOf(array.data, width, height, top);
      legend.replaceChildren(...legendOf(top));
      plane.paintAll();
    }
  });
  draw();
  return {
    element: h("div", {}, plane.canvas, legend, h("div", { class: "row" }, ...fields.map(({ element }) => element)), where),
    rows: () => ({ x: [here] }),
    show,
    keep,
    farAway: () => fields.map(({ input }) => input).filter((_, axis) => here[axis] < view[axis][0] || here[axis] > view[axis][1]),
  };
}

/** On which sides of a view a point lies, for people; empty where it lies in it. */
function sidesOf([x, y], [[left, right], [bottom, top]]) {
  const sides = [x < left && "to the left", x > right && "to the right", y < bottom && "below", y > top && "above"];
  return sides.filter(Boolean).join(" and ");
}

/** The middles of the cells of a grid, from the top left: x, y, x, y, …. */
function gridOf([[left, right], [bottom, top]], width, height) {
  const grid = new Float32Array(2 * width * height);
  for (let i = 0; i < height; i += 1) {
    for (let k = 0; k < width; k += 1) {
      grid[2 * (i * width + k)] = left + ((k + 0.5) / width) * (right - left);
      grid[2 * (i * width + k) + 1] = top - ((i + 0.5) / height) * (top - bottom);
    }
  }
  return grid;
}

function mapOf(logProbs, width, height, top) {
  const canvas = h("canvas", { width, height });
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const share = (logProbs[i] - (top - DEPTH)) / DEPTH;
    pixels.data.set([...viridis(Number.isNaN(share) ? 0 : share), 255], 4 * i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function legendOf(top) {
  const bar = h("canvas", { width: 100, height: 1, role: "img", "aria-label": "The colours from dark, unlikely, to bright, likely" });
  const pen = bar.getContext("2d");
  for (let i = 0; i < 100; i += 1) {
    pen.fillStyle = `rgb(${viridis(i / 99).join(" ")})`;
    pen.fillRect(i, 0, 1, 1);
  }
  return ["log-density ", `${shownNumber(top - DEPTH, 3)} or less`, bar, `${shownNumber(top, 3)} nats`];
}
