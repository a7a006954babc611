// A histogram in two colours, of rows within and beyond a level, and a line where one ends.

import { h } from "../dom.js";
import { shownNumber } from "../model.js";
import { Chart, bars, pixelRatio } from "./chart.js";
import { themed } from "./colours.js";

// A bar of a row among many can be seen.
const LEAST_PIXELS = 2;

const AXES = {
  score: "score (larger is more anomalous)",
  surprise: "−log-density (nats; larger is less likely)",
};

const count = (number) => `${number.toLocaleString("en")} ${number === 1 ? "row" : "rows"}`;

export class Histogram {
  /** @param {AbortSignal} signal ends it */
  constructor(signal) {
    this.picture = null;
    const part = (k) => (plot) => this.ends(plot).slice(k, k + 2);
    const reading = h("p", { class: "hint" });
    const read = (index) => {
      reading.textContent = index === null || !this.picture ? "Point at a bar, or use the arrow keys, to read it." : this.words(index);
      return reading.textContent;
    };
    this.chart = new Chart({
      label: "Histogram of the scores of the file",
      names: [() => this.name, "rows"],
      series: [bars("accent", part(0)), bars("mark", part(1))],
      isCounted: true,
      read,
      paint: (plot) => this.paintLine(plot),
      signal,
    });
    read(null);
    const legend = [h("span", { class: "key accent" }, "no alarm"), h("span", { class: "key mark" }, "alarm")];
    this.element = h("figure", { hidden: true }, h("figcaption", {}, ...legend), this.chart.element, reading);
  }

  /** Show what the worker has counted: see upload/view.js. */
  show({ picture, alpha, isDetector, scored }) {
    Object.assign(this, { picture, alpha });
    const { low, high, within, beyond, line, beyondCount } = picture;
    this.name = AXES[picture.series] ?? (isDetector ? "p-value" : "quantile among the held-out rows");
    const middles = within.map((_, i) => low + ((i + 0.5) / within.length) * (high - low));
    const both = within.map((inside, i) => inside + beyond[i]);
    const view = [
      [low, high],
      [0, 1.12 * Math.max(1, ...both)],
    ];
    const said = line === null ? "" : `, with a line at ${line.toPrecision(4)}`;
    this.chart.show([middles, within, both], view, `Histogram of ${this.name} of ${scored} rows from ${low.toPrecision(4)} to ${high.toPrecision(4)}${said}; ${beyondCount} rows are beyond the level ${alpha}`);
    this.element.hidden = false;
  }

  /** What is said of a bar. */
  words(index) {
    const { low, high, within, beyond, below, above } = this.picture;
    const [from, to] = [index, index + 1].map((edge) => shownNumber(low + (edge / within.length) * (high - low)));
    let place = `${from} to ${to}`; // the outermost bars hold what lies farther out, too
    if (index === 0 && below) place = `up to ${to}`;
    if (index === within.length - 1 && above) place = `${from} and more`;
    return `${place}: ${count(within[index] + beyond[index])}, ${beyond[index].toLocaleString("en")} of them beyond the level.`;
  }

  /** Where bars begin, where those of rows within end, and where those of rows beyond, on top of them, do. */
  ends({ scales, bbox }) {
    const { within, beyond } = this.picture ?? { within: [0, 0], beyond: [0, 0] };
    const least = (LEAST_PIXELS * pixelRatio() * scales.y.max) / bbox.height;
    const height = (rows) => rows && Math.max(rows, least);
    const tops = within.map(height);
    return [within.map(() => 0), tops, beyond.map((rows, i) => tops[i] + height(rows))];
  }

  paintLine(plot) {
    if (!this.picture) return;
    const { low, high, line } = this.picture;
    if (line === null || line < low || line > high) return;
    const { ctx, bbox } = plot;
    const scale = pixelRatio();
    const x = plot.valToPos(line, "x", true);
    const isRight = x > bbox.left + bbox.width / 2;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = themed("ink");
    ctx.lineWidth = 2 * scale;
    ctx.setLineDash([6 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `bold ${13 * scale}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = isRight ? "right" : "left";
    ctx.fillText(`α = ${this.alpha}`, x + (isRight ? -6 : 6) * scale, bbox.top + 4 * scale);
    ctx.restore();
  }
}
