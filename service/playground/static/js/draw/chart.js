// Charts, drawn by uPlot: in the colours of the page, light and dark, and with values that are read by pointer or by key.

import { h } from "../dom.js";
import { shownNumber } from "../model.js";
import { onScheme, themed } from "./colours.js";

// a script of index.html
const { uPlot } = globalThis;

const FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';

// Steps of an axis of whole numbers.
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();

// Keys of a slider, and by how many values they move.
const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };

// Around what is seen of the page: who scrolls finds a chart drawn.
const NEAR = "400px";

const UNREAD = "The arrow keys read the values.";

/** Pixels of the drawing for a pixel of the page. */
export const pixelRatio = () => uPlot.pxRatio;

export class Chart {
  /**
   * @param {object} options
   *   - `label`: what the chart shows, for who does not see it
   *   - `names`: of the two axes, as functions
   *   - `series`: of each row of values, as `curve` and `bars` have it
   *   - `isCounted`: whether the second axis has whole numbers alone
   *   - `read(index)`: is told which value is pointed at, null where none is, and returns what it says
   *   - `paint(plot)`: draws more, on top
   *   - `group`: all charts of one group point at the same place
   *   - `signal`: ends it
   */
  constructor({ label, names, series, isCounted = false, read, paint = () => {}, group = null, signal }) {
    this.view = [
      [0, 1],
      [0, 1],
    ];
    this.data = [[0, 1], ...series.map(() => [null, null])];
    this.element = h("div", { class: "chart", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": 0, "aria-valuetext": UNREAD });
    this.plot = null;
    this.said = UNREAD;
    this.options = {
      legend: { show: false },
      padding: [8, 14, 0, 0],
      cursor: { y: false, drag: { x: false, y: false, setScale: false }, sync: { key: group, scales: ["x", null] } },
      scales: { x: { time: false, range: () => this.view[0] }, y: { range: () => this.view[1] } },
      axes: [
        { ...axis(names[0]), size: 28, space: 70, values: (_, ticks) => ticks.map((tick) => shownNumber(tick)) },
        { ...axis(names[1]), size: widthOf, space: 32, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")), ...(isCounted ? { incrs: WHOLE_STEPS } : {}) },
      ],
      series: [{}, ...series],
      hooks: {
        draw: [paint],
        setCursor: [
          ({ cursor }) => {
            this.said = read(cursor.idx ?? null);
          },
        ],
      },
    };
    this.listen(signal);
  }

  /**
   * Show other values.
   * @param {(number | null)[][]} data places on the first axis, ascending, then the values of each series; null is none
   * @param {[number, number][]} view the ends of the two axes
   * @param {string} label what is shown, for who does not see it
   */
  show(data, view, label) {
    Object.assign(this, { data, view });
    this.element.setAttribute("aria-label", label);
    this.element.setAttribute("aria-valuemax", data[0].length - 1);
    this.plot?.setData(data);
  }

  listen(signal) {
    const { element } = this;
    const fit = () => {
      const { clientWidth: width, clientHeight: height } = element;
      if (!width) return;
      if (this.plot) this.plot.setSize({ width, height });
      else if (isNear) this.plot = new uPlot({ ...this.options, width, height }, this.data, element);
    };
    // those that nobody sees yet, as of the live panel at the end, would delay the other panels
    let isNear = false;
    const sight = new IntersectionObserver(
      (entries) => {
        if (isNear || !entries.at(-1).isIntersecting) return;
        isNear = true;
        fit();
      },
      { rootMargin: NEAR },
    );
    const size = new ResizeObserver(fit);
    sight.observe(element);
    size.observe(element);
    signal.addEventListener("abort", () => {
      sight.disconnect();
      size.disconnect();
      this.plot?.destroy();
    });
    onScheme(() => this.plot?.redraw(), signal);
    element.addEventListener("keydown", (event) => {
      const count = MOVES[event.key];
      if (count === undefined || !this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.move(count);
    });
    element.addEventListener("blur", () => this.pointAt(-10));
  }

  /** Point at a place, with all charts of the group; below zero at none. */
  pointAt(left) {
    this.plot?.setCursor({ left, top: Math.min(left, 0) }, true, true);
  }

  /** Point at another value: so many further on. */
  move(count) {
    const last = this.data[0].length - 1;
    const from = this.plot.cursor.idx ?? Number(this.element.getAttribute("aria-valuenow"));
    const index = Math.min(Math.max(from + count, 0), last);
    this.pointAt(Math.max(0, this.plot.valToPos(this.data[0][index], "x")));
    this.element.setAttribute("aria-valuenow", index);
    this.element.setAttribute("aria-valuetext", this.said);
  }
}

/** A curve with a dot at each value, in a colour of style.css. */
export function curve(colour) {
  const stroke = () => themed(colour);
  return { stroke, width: 2, points: { show: true, size: 4, width: 1, stroke, fill: stroke } };
}

/**
 * Bars without a line around them, in a colour of style.css.
 * @param {string} colour
 * @param {(plot: uPlot) => [number[], number[]]} ends where the bars begin and where they end
 */
export function bars(colour, ends) {
  const part = (k) => ({ unit: 1, values: (plot) => ends(plot)[k] });
  return {
    fill: () => themed(colour),
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars({ size: [1, Infinity], gap: 1, disp: { y0: part(0), y1: part(1) } }),
  };
}

function axis(name) {
  const line = { stroke: () => themed("line"), width: 1 };
  return { label: name, stroke: () => themed("ink"), font: FONT, labelFont: FONT, labelSize: 20, gap: 4, ticks: { ...line, size: 4 }, grid: { ...line, dash: [2, 4] } };
}

/** Pixels that the words beside the second axis take, with room between them and its name. */
function widthOf(plot, words, index, cycle) {
  const { font, ticks, gap, _size: size } = plot.axes[index];
  if (cycle > 1) return size; // else it could go to and fro
  plot.ctx.font = font[0];
  return ticks.size + 2 * gap + Math.max(0, ...(words ?? []).map((word) => plot.ctx.measureText(word).width)) / uPlot.pxRatio;
}
