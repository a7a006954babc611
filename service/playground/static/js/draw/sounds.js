// Rows that are sounds: their waveform, and how they are played.

import { h } from "../dom.js";
import { themed } from "./colours.js";

// Browsers need not play fewer samples a second.
const MIN_RATE = 8000;

// Pixels of a waveform; the page shows it smaller.
const SIZE = [720, 128];

let audio = null;
let playing = null;

/** Play a row; what was played before ends. */
export function play(row, { rate, full_scale: fullScale }) {
  audio ??= new AudioContext();
  audio.resume();
  playing?.stop();
  // a lower rate is raised by repeating samples: a browser may refuse it
  const times = Math.ceil(MIN_RATE / rate);
  const buffer = audio.createBuffer(1, row.length * times, rate * times);
  const samples = buffer.getChannelData(0);
  for (let i = 0; i < samples.length; i += 1) samples[i] = Math.max(-1, Math.min(1, row[Math.floor(i / times)] / fullScale));
  playing = audio.createBufferSource();
  playing.buffer = buffer;
  playing.connect(audio.destination);
  playing.start();
}

/** Draw the waveform of a row. */
export function paintWave(canvas, row) {
  [canvas.width, canvas.height] = SIZE;
  const pen = canvas.getContext("2d");
  let largest = 1e-12;
  for (const value of row) largest = Math.max(largest, Math.abs(value));
  pen.strokeStyle = themed("accent");
  pen.lineWidth = 3;
  pen.beginPath();
  row.forEach((value, i) => pen.lineTo((i / (row.length - 1)) * canvas.width, canvas.height * (0.5 - 0.47 * (value / largest))));
  pen.stroke();
  return canvas;
}

/** A sound with a button that plays it, and `head`, another one, before it. */
export function soundOf(row, sound, label, head) {
  return h(
    "div",
    { class: "sound" },
    head,
    paintWave(h("canvas", { class: "wave", role: "img", "aria-label": `Waveform of ${label}` }), row),
    h("button", { type: "button", "aria-label": `Play ${label}`, onclick: () => play(row, sound) }, "Play"),
  );
}
