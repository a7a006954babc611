// One of many points of a plane is chosen: by a click near it, or by the arrow keys and Enter.

import { DIRECTIONS } from "./plane.js";

// Pixels from a point within which a click is meant for it.
const REACH = 20;

/**
 * Let points be chosen. The arrow keys go to the nearest point on their side, within a right angle.
 * @param {Plane} plane
 * @param {object} options
 *   - `points()`: the points now, of numbers x, y, x, y, …
 *   - `look(i)`: a point is looked at
 *   - `take(i)`: the point that was looked at last is taken
 *   - `signal`: ends it
 */
export function choosable(plane, { points, look, take, signal }) {
  const { canvas } = plane;
  canvas.tabIndex = 0;
  canvas.classList.add("choosable");
  canvas.setAttribute("role", "application");
  let here = 0;
  const goTo = (i) => {
    here = i;
    look(i);
  };
  canvas.addEventListener(
    "click",
    (event) => {
      const box = canvas.getBoundingClientRect();
      const i = nearest(plane, points(), [event.clientX - box.left, event.clientY - box.top], (dx, dy) => Math.hypot(dx, dy) < REACH);
      if (i < 0) return;
      goTo(i);
      take(i);
    },
    { signal },
  );
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && points().length && goTo(here), { signal });
  canvas.addEventListener(
    "keydown",
    (event) => {
      const data = points();
      const direction = DIRECTIONS[event.key];
      const isTaken = event.key === "Enter" || event.key === " ";
      if (!data.length || !(direction || isTaken) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      here = Math.min(here, data.length / 2 - 1); // fewer may be drawn by now
      if (isTaken) {
        goTo(here);
        take(here);
        return;
      }
      const [right, up] = direction; // y of the canvas goes down
      const isOnSide = (dx, dy) => dx * right - dy * up > Math.abs(dx * up + dy * right);
      const i = nearest(plane, data, plane.toPixel([data[2 * here], data[2 * here + 1]]), isOnSide);
      if (i >= 0) goTo(i);
    },
    { signal },
  );
}

/** Which of the points in sight is nearest to a place of the canvas, of those that `isMeant` by the pixels to it; −1 where none is. */
function nearest(plane, data, [px, py], isMeant) {
  let [found, least] = [-1, Infinity];
  for (let i = 0; 2 * i + 1 < data.length; i += 1) {
    const point = [data[2 * i], data[2 * i + 1]];
    const [x, y] = plane.toPixel(point);
    const distance = Math.hypot(x - px, y - py);
    if (distance < least && isMeant(x - px, y - py) && plane.isInView(point)) [found, least] = [i, distance];
  }
  return found;
}
