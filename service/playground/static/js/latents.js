// Points between two latents, as the server's `/interpolate` has them (service/bundle/bases.py).

// Of two directions that are nearer to each other, in radians, the great circle is the line.
const SMALLEST_ANGLE = 1e-6;

const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

/**
 * The point at t, from 0 to 1, of a path from a to b.
 * @param {Float64Array} a
 * @param {Float64Array} b
 * @param {number} t
 * @param {"linear" | "normalized" | "geodesic"} kind `normalized` has the norm between those of the
 *   ends; `geodesic` is the great circle between their directions, with that norm
 */
export function between(a, b, t, kind) {
  let line = a.map((value, i) => (1 - t) * value + t * b[i]);
  if (kind === "linear") return line;
  const [normA, normB] = [norm(a), norm(b)];
  if (kind === "geodesic") {
    const [u, v] = [a.map((value) => value / normA), b.map((value) => value / normB)];
    const angle = 2 * Math.atan2(norm(u.map((value, i) => value - v[i])), norm(u.map((value, i) => value + v[i])));
    if (angle > SMALLEST_ANGLE) line = u.map((value, i) => Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * v[i]);
  }
  const scale = ((1 - t) * normA + t * normB) / norm(line);
  return line.map((value) => value * scale);
}

/** Nested lists of a shape, of numbers in row-major order, as JSON has arrays. */
export function nested(data, shape) {
  if (shape.length <= 1) return Array.from(data);
  const size = data.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) => nested(data.slice(i * size, (i + 1) * size), shape.slice(1)));
}

/** The numbers of nested lists; null, which stands for no number, is NaN. */
export function flat(lists) {
  return Float64Array.from([lists].flat(Infinity), (value) => value ?? NaN);
}
