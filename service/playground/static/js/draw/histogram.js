// A histogram in two colours, of rows within and beyond a level, and a line where one ends.

import { Plane } from "./plane.js";
import { themed } from "./colours.js";

// More rows are counted in thousands: their digits would not fit beside the axis.
const LARGE = 10_000;

const AXES = {
  score: "score (larger is more anomalous)",
  surprise: "−log-density (nats; larger is less likely)",
};

/** An empty plane for a histogram; `picture()` is what it shows, see upload/view.js. */
export function histogramPlane(model, signal, picture) {
  const plane = new Plane({
    label: "Histogram of the scores of the file",
    names: ["", "rows"],
    view: [
      [0, 1],
      [0, 1],
    ],
    isCounted: true,
    paint: (plane) => picture() && paint(plane, picture()),
    signal,
  });
  plane.canvas.classList.add("low");
  return plane;
}

/** Show a histogram. */
export function drawHistogram(plane, { picture, alpha, isDetector, scored }) {
  const tallest = Math.max(1, ...picture.within.map((within, i) => within + picture.beyond[i]));
  plane.unit = tallest < LARGE ? 1 : 1000;
  plane.view = [
    [picture.low, picture.high],
    [0, (1.12 * tallest) / plane.unit],
  ];
  const tail = isDetector ? "p-value" : "quantile among the held-out rows";
  plane.names = [AXES[picture.series] ?? tail, plane.unit === 1 ? "rows" : "thousands of rows"];
  plane.alpha = alpha;
  const line = picture.line === null ? "" : `, with a line at ${picture.line.toPrecision(4)}`;
  plane.canvas.setAttribute("aria-label", `Histogram of ${plane.names[0]} of ${scored} rows from ${picture.low.toPrecision(4)} to ${picture.high.toPrecision(4)}${line}; ${picture.beyondCount} rows are beyond the level ${alpha}`);
  plane.paint();
}

function paint(plane, { low, high, within, beyond, line }) {
  const { pen } = plane;
  const width = (high - low) / within.length;
  plane.clipped(() => {
    within.forEach((count, i) => {
      const from = low + i * width;
      bar(plane, from, from + width, 0, count / plane.unit, "accent");
      bar(plane, from, from + width, count / plane.unit, (count + beyond[i]) / plane.unit, "mark");
    });
  });
  plane.axes();
  if (line === null || line < low || line > high) return;
  const [x, top] = plane.toPixel([line, plane.view[1][1]]);
  const [, bottom] = plane.toPixel([line, 0]);
  pen.strokeStyle = themed("ink");
  pen.lineWidth = 2;
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x, bottom);
  pen.stroke();
  pen.setLineDash([]);
  pen.fillStyle = themed("ink");
  pen.font = "bold 13px system-ui, sans-serif";
  pen.textBaseline = "top";
  pen.textAlign = x > plane.width / 2 ? "right" : "left";
  pen.fillText(`α = ${plane.alpha}`, x + (x > plane.width / 2 ? -6 : 6), top + 4);
}

// A bar of at least two pixels, where there is a row at all.
function bar(plane, from, to, low, high, colour) {
  if (high <= low) return;
  const [left, bottom] = plane.toPixel([from, low]);
  const [right, top] = plane.toPixel([to, high]);
  const height = Math.max(2, bottom - top);
  plane.pen.fillStyle = themed(colour);
  plane.pen.fillRect(left, bottom - height, Math.max(1, right - left - 1), height);
}
