// Colours of drawings: those of the style sheet, and a scale for densities.

/** A colour of style.css, as the reader's light or dark scheme has it: `ink`, `faint`, `accent`, … */
export function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Call a function when the reader changes between light and dark. */
export function onScheme(redraw, signal) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
}

// Viridis (CC0, by Smith and van der Walt): equal steps look equal, also to colour-blind eyes and in grey.
const VIRIDIS = [
  [68, 1, 84],
  [71, 39, 119],
  [62, 73, 137],
  [48, 103, 141],
  [37, 130, 142],
  [30, 157, 136],
  [53, 183, 120],
  [109, 206, 88],
  [181, 221, 43],
  [253, 231, 36],
];

/** The colour of a share from 0 to 1: red, green, blue. */
export function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[i].map((low, k) => Math.round(low + (VIRIDIS[i + 1][k] - low) * (place - i)));
}
