// A plane with labelled axes: points, curves and maps of two numbers, and a point that follows
// the pointer or the arrow keys.

import { h } from "../dom.js";
import { shownNumber } from "../model.js";
import { themed, onScheme } from "./colours.js";

const MARGIN = { left: 52, right: 12, top: 12, bottom: 44 };
// An arrow key moves a point by so much of an axis; with Shift by ten times that.
const STEP = 0.01;
/** Keys of arrows → right, up. */
export const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

export class Plane {
  /**
   * @param {object} options
   *   - `label`: what the drawing shows, for who does not see it
   *   - `names`: of the two axes
   *   - `view`: [[low, high], [low, high]] of the two axes
   *   - `backdrop(plane)`: draws what stays below the rest: it is kept until the size or the colours
   *     change, or `paintAll` is called
   *   - `paint(plane)`: draws what changes with every movement, on the backdrop
   *   - `signal`: ends its listeners
   */
  constructor({ label, names, view, backdrop = () => {}, paint = () => {}, signal }) {
    this.names = names;
    this.view = view;
    this.canvas = h("canvas", { class: "plane", role: "img", "aria-label": label });
    this.pen = this.canvas.getContext("2d");
    const kept = h("canvas");
    /** Draw what changes. */
    this.paint = () => {
      if (!this.width) return;
      this.pen.setTransform(1, 0, 0, 1, 0, 0);
      this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.pen.drawImage(kept, 0, 0);
      this.pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
      paint(this);
    };
    /** Draw everything. */
    this.paintAll = () => {
      if (!this.width) return;
      [kept.width, kept.height] = [this.canvas.width, this.canvas.height];
      const pen = this.pen;
      this.pen = kept.getContext("2d");
      this.pen.setTransform(this.scale, 0, 0, this.scale, 0, 0);
      backdrop(this);
      this.pen = pen;
      this.paint();
    };
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(this.canvas);
    signal.addEventListener("abort", () => observer.disconnect());
    onScheme(this.paintAll, signal);
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return;
    this.scale = devicePixelRatio || 1;
    [this.width, this.height] = [clientWidth, clientHeight];
    this.canvas.width = Math.round(clientWidth * this.scale);
    this.canvas.height = Math.round(clientHeight * this.scale);
    this.paintAll();
  }

  /** Where a point of the data is on the canvas. */
  toPixel([x, y]) {
    const [[left, right], [bottom, top]] = this.view;
    return [
      MARGIN.left + ((x - left) / (right - left)) * (this.width - MARGIN.left - MARGIN.right),
      this.height - MARGIN.bottom - ((y - bottom) / (top - bottom)) * (this.height - MARGIN.top - MARGIN.bottom),
    ];
  }

  /** The point of the data at a place of the canvas. */
  toData([px, py]) {
    const [[left, right], [bottom, top]] = this.view;
    return [
      left + ((px - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right)) * (right - left),
      bottom + ((this.height - MARGIN.bottom - py) / (this.height - MARGIN.top - MARGIN.bottom)) * (top - bottom),
    ];
  }

  /** The two axes with their ticks and names. */
  axes() {
    const { pen, width, height } = this;
    pen.strokeStyle = themed("line");
    pen.fillStyle = themed("ink");
    pen.lineWidth = 1;
    pen.font = "12px system-ui, sans-serif";
    pen.strokeRect(MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const tick of ticks(this.view[0], Math.max(3, width / 90))) {
      const [x] = this.toPixel([tick, 0]);
      pen.fillText(shownNumber(tick), x, height - MARGIN.bottom + 6);
    }
    pen.fillText(this.names[0], (MARGIN.left + width - MARGIN.right) / 2, height - 18);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks(this.view[1], Math.max(3, height / 60))) {
      const [, y] = this.toPixel([0, tick]);
      pen.fillText(shownNumber(tick), MARGIN.left - 6, y);
    }
    pen.save();
    pen.translate(10, (MARGIN.top + height - MARGIN.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(this.names[1], 0, 0);
    pen.restore();
  }

  /** Draw within the axes alone. */
  clipped(draw) {
    const { pen, width, height } = this;
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
    pen.clip();
    draw();
    pen.restore();
  }

  /** Points, of numbers x, y, x, y, …. */
  points(data, { colour = "accent", radius = 2, alpha = 0.7 } = {}) {
    this.clipped(() => {
      this.pen.fillStyle = themed(colour);
      this.pen.globalAlpha = alpha;
      for (let i = 0; i + 1 < data.length; i += 2) {
        const [x, y] = this.toPixel([data[i], data[i + 1]]);
        this.pen.beginPath();
        this.pen.arc(x, y, radius, 0, 2 * Math.PI);
        this.pen.fill();
      }
    });
  }

  /** A curve through points, of numbers x, y, x, y, …. */
  curve(data, { colour = "ink", width = 2 } = {}) {
    this.clipped(() => {
      this.pen.strokeStyle = themed(colour);
      this.pen.lineWidth = width;
      this.pen.lineJoin = "round";
      this.pen.beginPath();
      for (let i = 0; i + 1 < data.length; i += 2) this.pen.lineTo(...this.toPixel([data[i], data[i + 1]]));
      this.pen.stroke();
    });
  }

  /** A point that can be told from all others, with a letter or without; at the edge, with an arrow, where it lies beyond it. */
  marker(point, { colour = "mark", text = "" } = {}) {
    const radius = text ? 11 : 7;
    const [x, y, angle] = this.placed(point, radius);
    const { pen } = this;
    this.clipped(() => {
      pen.beginPath();
      if (angle === null) pen.arc(x, y, radius, 0, 2 * Math.PI);
      else {
        pen.arc(x, y, radius, angle + 0.7, angle - 0.7);
        pen.lineTo(x + 2 * radius * Math.cos(angle), y + 2 * radius * Math.sin(angle));
        pen.closePath();
      }
      pen.fillStyle = themed(colour);
      pen.fill();
      pen.lineWidth = 2;
      pen.strokeStyle = themed("paper");
      pen.stroke();
      if (text) {
        pen.fillStyle = themed("paper");
        pen.font = "bold 13px system-ui, sans-serif";
        pen.textAlign = "center";
        pen.textBaseline = "middle";
        pen.fillText(text, x, y + 1);
      }
    });
  }

  /** Where a marker stands on the canvas: at its point, or at the edge next to it; then also the angle to the point, else null. */
  placed(point, radius) {
    const [[x, y], [edgeX, edgeY]] = [this.toPixel(point), this.toPixel(this.inView(point))];
    if (x === edgeX && y === edgeY) return [x, y, null];
    const angle = Math.atan2(y - edgeY, x - edgeX);
    return [edgeX - 2 * radius * Math.cos(angle), edgeY - 2 * radius * Math.sin(angle), angle];
  }

  /** A picture that fills the axes, such as the map of a density. */
  picture(canvas) {
    this.pen.imageSmoothingEnabled = true;
    const { width, height } = this;
    this.pen.drawImage(canvas, MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
  }

  /**
   * Let a point be moved: by pressing and dragging, and by the arrow keys (Shift: further).
   * @param {object} options
   *   - `get()`: the point now
   *   - `set(point)`: move it
   *   - `grab(point)`: is told where a press begins, before `set`
   *   - `release()`: a press is over
   *   - `signal`: ends it
   */
  movable({ get, set, grab = () => {}, release = () => {}, signal }) {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.classList.add("movable");
    canvas.setAttribute("role", "application");
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return this.inView(this.toData([event.clientX - box.left, event.clientY - box.top]));
    };
    canvas.addEventListener(
      "pointerdown",
      (event) => {
        canvas.setPointerCapture(event.pointerId);
        grab(at(event));
        set(at(event));
      },
      { signal },
    );
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && set(at(event)), { signal });
    canvas.addEventListener("lostpointercapture", release, { signal });
    canvas.addEventListener(
      "keydown",
      (event) => {
        const direction = DIRECTIONS[event.key];
        if (!direction || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        const step = STEP * (event.shiftKey ? 10 : 1);
        set(this.inView(get().map((value, axis) => value + direction[axis] * step * (this.view[axis][1] - this.view[axis][0]))));
      },
      { signal },
    );
  }

  /** Whether a point lies within the axes. */
  isInView(point) {
    return this.view.every(([low, high], axis) => point[axis] >= low && point[axis] <= high);
  }

  /** The nearest point of the view. */
  inView(point) {
    return point.map((value, axis) => Math.min(Math.max(value, this.view[axis][0]), this.view[axis][1]));
  }
}

/** A view of points, of numbers x, y, x, y, …: what most of them fill, and some room around. */
export function viewOf(data) {
  return [0, 1].map((axis) => {
    const values = [];
    for (let i = axis; i < data.length; i += 2) if (Number.isFinite(data[i])) values.push(data[i]);
    values.sort((a, b) => a - b);
    const low = values[Math.floor(0.005 * values.length)] ?? -1;
    const high = values[Math.ceil(0.995 * values.length) - 1] ?? 1;
    const room = 0.2 * (high - low) || 1;
    return [low - room, high + room];
  });
}

/** Round numbers in an interval, about so many. */
export function ticks([low, high], count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.ceil(low / step);
  // a single one says nothing of a scale
  if (high > low && Math.floor(high / step) === first) return ticks([low, high], 2 * count);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
