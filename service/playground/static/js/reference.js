// Rows of a model that panels have in common: a sample, asked for once.

import { ask, NPY_TYPE } from "./ask.js";

// So many rows of two numbers show where a density lives; of images and tables a few will do.
const POINTS = 1000;
const FEW = 12;

/**
 * @returns {() => Promise<{shape: number[], data: ArrayLike<number>, count: number, row: (i: number) => Float64Array}>}
 *   asks when it is first called, and gives the same rows ever after
 */
export function referenceRows(model, conditions, signal) {
  let rows = null;
  return (onRequest) => {
    rows ??= draw(model, conditions, signal, onRequest);
    rows.catch(() => {
      rows = null; // the next one tries again
    });
    return rows;
  };
}

async function draw(model, conditions, signal, onRequest) {
  const n = model.look === "points" ? POINTS : FEW;
  const json = { model: model.name, version: model.version, n, seed: 0 };
  if (conditions) json.context = [conditions];
  const { array } = await ask("sample", { json, shown: model.shownAs, accept: NPY_TYPE, signal, onRequest });
  return rowsOf(array, model.dimensions);
}

/** Rows of an array, N × event shape. */
export function rowsOf({ shape, data }, dimensions) {
  return {
    count: shape[0],
    data,
    row: (i) => Float64Array.from(data.subarray ? data.subarray(i * dimensions, (i + 1) * dimensions) : data.slice(i * dimensions, (i + 1) * dimensions)),
  };
}
