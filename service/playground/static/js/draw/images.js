// Rows that are images.

import { h } from "../dom.js";

/** The lowest and the highest value to show: the model's own, else those of some rows. */
export function valueRange(image, data) {
  if (image.low !== null) return [image.low, image.high];
  let [low, high] = [Infinity, -Infinity];
  for (const value of data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Draw one row, channels × height × width, on a canvas of as many pixels. */
export function paintImage(canvas, row, { channels, height, width }, [low, high]) {
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  const size = height * width;
  for (let i = 0; i < size; i += 1) {
    for (let c = 0; c < 3; c += 1) pixels.data[4 * i + c] = (255 * (row[(c % channels) * size + i] - low)) / (high - low);
    pixels.data[4 * i + 3] = 255;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

/** A canvas with an image, and what it is for who does not see it. */
export function imageOf(row, image, range, label) {
  return paintImage(h("canvas", { class: "pixels", role: "img", "aria-label": label }), row, image, range);
}
