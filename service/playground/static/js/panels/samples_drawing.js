// How samples are drawn, by what rows are, and taken: by a click, or by keys.

import { h } from "../dom.js";
import { choosable } from "../draw/choosing.js";
import { imageOf, valueRange } from "../draw/images.js";
import { Plane, viewOf } from "../draw/plane.js";
import { soundOf } from "../draw/sounds.js";
import { tableOf } from "../draw/tables.js";
import { isBeyond, shownNumber } from "../model.js";

const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/**
 * A function that draws rows into an element.
 * @param {object} options `model`, `element`, `reference`, `signal`; `look(i, text)`: sample i is looked at, and what is to be
 *   said of it; `take(i)`: it is taken; null where no panel takes any
 * @returns {Promise<(rows: object) => void>}
 */
export async function drawerOf(options) {
  if (options.model.look === "points") return pointsDrawer(options);
  const { model, element, take } = options;
  moveByKeys(element);
  const all = (drawn) => Array.from({ length: drawn.count }, (_, i) => drawn.row(i));
  // one of them is in the order of Tab
  const button = (i, content) =>
    take ? h("button", { type: "button", class: "take", tabindex: i === 0 ? 0 : -1, "aria-label": `Sample ${i + 1}`, title: `Sample ${i + 1}`, onclick: () => take(i) }, content) : content;
  if (model.look === "images") {
    element.classList.add("images");
    return (drawn) => {
      const range = valueRange(model.image, drawn.data);
      element.replaceChildren(...all(drawn).map((row, i) => button(i, imageOf(row, model.image, range, `Sample ${i + 1}`))));
    };
  }
  if (model.look === "sounds") {
    element.classList.add("sounds");
    return (drawn) => element.replaceChildren(...all(drawn).map((row, i) => soundOf(row, model.sound, `sample ${i + 1}`, button(i, String(i + 1)))));
  }
  const takeRow = (event) => {
    const row = event.target.closest("tbody tr");
    // neither twice, nor by who selects text to copy it
    if (row && !event.target.closest(".take") && getSelection().isCollapsed) take(row.sectionRowIndex);
  };
  if (take) element.addEventListener("click", takeRow);
  return (drawn) => {
    const rows = all(drawn);
    const mark = (k, value) => isBeyond(model.columns[k], value);
    const table = tableOf(model, rows, { caption: `Samples of ${model.name}`, mark, head: (i) => button(i, String(i + 1)) });
    if (take) table.classList.add("choosable");
    element.replaceChildren(table, table.querySelector(".outside") ? beyondNote() : "");
  };
}

/** What the mark of a value means. */
export function beyondNote() {
  return h("p", { class: "hint beyond-note" }, "Marked values lie outside the data: beyond the least or the greatest value that the column had there.");
}

async function pointsDrawer({ model, element, reference, signal, look, take }) {
  let data = [];
  let here = null;
  const point = (i) => [data[2 * i], data[2 * i + 1]];
  const plane = new Plane({
    label: `Samples of ${model.name} as points. The arrow keys go from one to the next, Enter takes it.`,
    names: model.columns.map(({ name }) => name),
    view: viewOf((await reference()).data),
    signal,
    backdrop: (self) => {
      self.axes();
      self.points(data);
    },
    paint: (self) => here !== null && self.marker(point(here)),
  });
  choosable(plane, {
    points: () => data,
    look: (i) => {
      here = i;
      plane.paint();
      look(i, `(${point(i).map((value) => shownNumber(value)).join(", ")})`);
    },
    take,
    signal,
  });
  element.append(plane.canvas);
  return (drawn) => {
    data = drawn.data;
    here = null;
    plane.paintAll();
  };
}

/** The arrow keys lead from one button to the next, in rows and columns as they stand; Tab comes back to the last one. */
function moveByKeys(element) {
  const all = () => [...element.querySelectorAll(".take")];
  element.addEventListener("focusin", ({ target }) => {
    if (target.matches(".take")) for (const each of all()) each.tabIndex = each === target ? 0 : -1;
  });
  element.addEventListener("keydown", (event) => {
    const buttons = all();
    const i = buttons.indexOf(event.target);
    const top = (each) => each.getBoundingClientRect().top;
    const across = buttons.filter((each) => top(each) === top(buttons[0])).length;
    const move = { ...MOVES, ArrowUp: -across, ArrowDown: across }[event.key];
    if (i < 0 || move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    buttons[Math.min(Math.max(i + move, 0), buttons.length - 1)].focus();
  });
}
