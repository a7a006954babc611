// What the page knows of the model that was chosen, from its manifest (`GET /models/NAME`).

// Fewer pixels are no image; as `bijecta plot` has it.
const MIN_PIXELS = 16;

// Tables and forms of more columns are of no use to people.
export const MAX_FORM_COLUMNS = 100;

const range = (count) => Array.from({ length: count }, (_, i) => i);
const extreme = (value, pick) => (Array.isArray(value) ? pick(...value) : value);

/** A number for people: as few digits as say it. */
export function shownNumber(value, digits = 4) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const rounded = Number(value.toPrecision(digits));
  const isLong = Math.abs(rounded) >= 10 ** Math.max(9, digits + 4);
  return (isLong ? rounded.toExponential().replace("+", "") : String(rounded)).replaceAll("-", "−");
}

const DAY_SECONDS = 86_400;

/** A time of a column, in seconds since 1970: a date where all its times are dates. */
export function shownTime({ step }, seconds) {
  const text = new Date(seconds * 1000).toISOString();
  return step && step % DAY_SECONDS === 0 ? text.slice(0, 10) : text.replace(".000Z", "");
}

/** The ends of the values that the data had in a column, as text; empty where the manifest does not say them. */
export function dataRange(column) {
  if (column.low === undefined) return "";
  const shown = (value) => (column.kind === "datetime" ? shownTime(column, value) : String(Number(value.toPrecision(7))).replace("-", "−"));
  return `${shown(column.low)} to ${shown(column.high)}`;
}

/** Whether a text is a number beyond those ends: where the data had nothing, a score says little. Of times it is not known. */
export function isOutsideData({ kind, low, high }, text) {
  const value = kind === "datetime" ? NaN : Number(text.trim() || NaN);
  return value < low || value > high;
}

/** A model of the server. */
export class Model {
  /** @param {object} manifest as `/models/NAME` answers it */
  constructor(manifest) {
    this.manifest = manifest;
    this.name = manifest.name;
    this.version = manifest.version;
    /** Whether it scores anomalies, and has neither latents nor samples. */
    this.isDetector = manifest.kind === "detector";
    /** How many flows it is a mixture of; 0 where it is no ensemble. */
    this.members = manifest.kind === "ensemble" ? manifest.members.length : 0;
    const described = Array.isArray(manifest.columns) && typeof manifest.columns[0] === "object";
    /** Whether its columns are of kinds of their own, and rows may come by name. */
    this.isTyped = described;
    this.eventShape = manifest.event_shape ?? [manifest.columns.length];
    this.latentShape = manifest.latent_shape ?? this.eventShape;
    /** Numbers of a row. */
    this.dimensions = this.eventShape.reduce((product, side) => product * side, 1);
    const names = described ? null : manifest.columns;
    /** Columns: `name`, `kind` (`numeric`, `lattice`, `categorical`, `datetime`), and what the manifest says of it. */
    this.columns = described ? manifest.columns : range(this.dimensions).map((i) => ({ name: names?.[i] ?? `x${i}`, kind: "numeric" }));
    /** Channels, height, width, lowest and highest value of an image; null where rows are none. */
    this.image = described ? null : imageOf(manifest, this.eventShape, this.dimensions, names);
    /** `rate` and `full_scale`, where rows are sounds. */
    this.sound = manifest.sound ?? null;
    /** Columns of the context of a conditional model; null where it is conditional on nothing. */
    this.context = manifest.context ?? null;
    /** Whether points of the latent space can be joined by a great circle. */
    this.isSpherical = manifest.base === "normal";
    /** Whether `/log_prob` says how many held-out rows are less likely. */
    this.hasQuantiles = Boolean(manifest.calibration?.log_prob);
    /** Whether `/score` has p-values. */
    this.hasScores = this.isDetector && Boolean(manifest.calibration);
  }

  /** How rows are drawn: `points` (two numbers), `images`, `sounds`, `table` (columns with names), `numbers`. */
  get look() {
    if (this.sound) return "sounds";
    if (this.image) return "images";
    if (this.isTyped) return "table";
    if (this.dimensions === 2) return "points";
    return "numbers";
  }

  /** What the model is, in one sentence or two. */
  get about() {
    const { manifest } = this;
    const rows = {
      sounds: `sounds of ${this.dimensions} samples (${shownNumber((1000 * this.dimensions) / (this.sound?.rate ?? 1))} ms)`,
      images: this.image && `images of ${this.image.height} × ${this.image.width} pixels`,
      table: `rows of ${this.dimensions} columns`,
      points: "points in the plane",
      numbers: `rows of ${this.dimensions} numbers`,
    }[this.look];
    const families = [...new Set((manifest.members ?? []).map((member) => member.family))].join(", ");
    const flow = `a normalizing flow of the family ${manifest.family}, a model of`;
    const mixture = `a mixture of ${this.members} normalizing flows (${families}), a model of`;
    const what = this.isDetector ? "a detector of anomalies among" : this.members ? mixture : flow;
    const heldOut = manifest.held_out?.log_prob;
    const score = heldOut === undefined || heldOut === null ? "" : ` The mean log-density of rows that it never saw is ${shownNumber(heldOut)} nats.`;
    return `${this.name}, version ${this.version}, is ${what} ${rows}, trained on ${manifest.data?.name ?? "unknown data"}.${score}`;
  }

  /** A value of a row, as people read it. */
  shown(column, value) {
    const described = this.columns[column];
    const { kind, classes } = described;
    if (Number.isNaN(value) || value === null) return "missing";
    if (kind === "categorical") return value < classes.length ? String(classes[value]) : "(other)";
    if (kind === "datetime") return shownTime(described, value);
    return shownNumber(value, kind === "lattice" ? 8 : 4);
  }
}

function imageOf(manifest, shape, dimensions, names) {
  if (manifest.sound) return null;
  let sides = shape.length === 2 ? [1, ...shape] : shape;
  const whole = manifest.dequantization && manifest.dequantization.columns === null;
  const side = Math.round(Math.sqrt(dimensions));
  if (sides.length === 1 && whole && !names && side * side === dimensions && dimensions >= MIN_PIXELS) sides = [1, side, side];
  if (sides.length !== 3 || ![1, 3].includes(sides[0])) return null;
  const box = manifest.dequantization ?? manifest.support;
  const low = box ? extreme(box.low, Math.min) : null;
  const high = box ? extreme(box.high, Math.max) : null;
  return { channels: sides[0], height: sides[1], width: sides[2], low, high };
}
