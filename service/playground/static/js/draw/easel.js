// An image to paint on: with the pointer, or with the arrow keys, Space and Backspace.

import { h } from "../dom.js";
import { paintImage } from "./images.js";
import { themed } from "./colours.js";

// Pixels of the drawing for a pixel of the image, at least.
const SIZE = 320;

export class Easel {
  /**
   * @param {object} image channels, height, width of the rows
   * @param {number[]} range the lowest and the highest value
   * @param {(row: Float64Array) => void} onchange is called after every stroke
   */
  constructor(image, range, onchange) {
    this.image = image;
    this.range = range;
    this.onchange = onchange;
    this.row = new Float64Array(image.channels * image.height * image.width).fill(range[0]);
    /** Shares of red, green and blue that the brush has; of a grey image the first counts. */
    this.brush = [1, 1, 1];
    this.cursor = [Math.floor(image.height / 2), Math.floor(image.width / 2)];
    this.small = h("canvas");
    this.canvas = h("canvas", {
      class: "easel",
      role: "application",
      tabindex: "0",
      "aria-label": "An image to paint on. The arrow keys move, Space paints, Backspace wipes.",
    });
    const factor = Math.ceil(SIZE / Math.max(image.height, image.width));
    [this.canvas.width, this.canvas.height] = [image.width * factor, image.height * factor];
    this.listen();
  }

  /** Show another row. */
  show(row) {
    this.row = Float64Array.from(row);
    this.paint();
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    paintImage(this.small, this.row, this.image, this.range);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.small, 0, 0, this.canvas.width, this.canvas.height);
    if (document.activeElement !== this.canvas) return;
    const side = this.canvas.width / this.image.width;
    pen.lineWidth = Math.max(2, side / 10);
    pen.strokeStyle = themed("mark");
    pen.strokeRect(this.cursor[1] * side, this.cursor[0] * side, side, side);
  }

  /** Give a pixel the brush's colour, or wipe it. */
  stroke([y, x], isWiped) {
    const { channels, height, width } = this.image;
    if (y < 0 || x < 0 || y >= height || x >= width) return;
    const [low, high] = this.range;
    for (let c = 0; c < channels; c += 1) this.row[(c * height + y) * width + x] = isWiped ? low : low + this.brush[c] * (high - low);
    this.paint();
    this.onchange(this.row);
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [
        Math.floor(((event.clientY - box.top) / box.height) * this.image.height),
        Math.floor(((event.clientX - box.left) / box.width) * this.image.width),
      ];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.cursor = at(event);
      this.stroke(this.cursor, event.button === 2 || event.shiftKey);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      this.cursor = at(event);
      this.stroke(this.cursor, event.buttons === 2 || event.shiftKey);
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (move) {
        const sides = [this.image.height, this.image.width];
        this.cursor = this.cursor.map((value, axis) => Math.min(Math.max(value + move[axis], 0), sides[axis] - 1));
        this.paint();
      } else if (event.key === " ") this.stroke(this.cursor, false);
      else if (event.key === "Backspace" || event.key === "Delete") this.stroke(this.cursor, true);
      else return;
      event.preventDefault();
    });
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.paint());
  }
}
