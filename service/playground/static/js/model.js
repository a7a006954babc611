// What the page knows of the model that was chosen, from its manifest (`GET /models/NAME`).

import { FAMILIES } from "./families.js";
import { DOUBLE, SINGLE } from "./numbers.js";

// Fewer pixels are no image; as `bijecta plot` has it.
const MIN_PIXELS = 16;

// Tables and forms of more columns are of no use to people.
export const MAX_FORM_COLUMNS = 100;

/** What the server reads and writes for every class that has no code of its own. */
export const OTHER = "(other)";

const range = (count) => Array.from({ length: count }, (_, i) => i);
const extreme = (value, pick) => (Array.isArray(value) ? pick(...value) : value);

/** A number for people: as few digits as say it, with the minus sign of keyboards, so that a copy of it is read as a number. */
export function shownNumber(value, digits = 4) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const rounded = Number(value.toPrecision(digits));
  const isLong = Math.abs(rounded) >= 10 ** Math.max(9, digits + 4);
  return isLong ? rounded.toExponential().replace("+", "") : String(rounded);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Others are written as the nearest of them, by the server too.
const [FIRST_TIME, LAST_TIME] = [Date.UTC(1000, 0, 1) / 1000, Date.UTC(9999, 11, 31) / 1000];

/** A time of a column, in seconds since 1970, in the form in which the column's times are read and written (service/tables/dates.py). */
export function shownTime({ format = "%Y-%m-%dT%H:%M:%S" }, seconds) {
  const written = Math.min(Math.max(seconds, FIRST_TIME), LAST_TIME);
  const whole = Math.floor(written);
  const [date, time] = new Date(whole * 1000).toISOString().slice(0, -5).split("T");
  const [Y, m, d] = date.split("-");
  const [H, M, S] = time.split(":");
  const f = String(Math.min(Math.round((written - whole) * 1e6), 999_999)).padStart(6, "0");
  const parts = { Y, m, d, H, M, S, f, b: MONTHS[Number(m) - 1], z: "Z" };
  return format.replace(/%([a-zA-Z])/g, (_, letter) => parts[letter]);
}

/** The ends of the values that the data had in a column, as text; empty where the manifest does not say them. */
export function dataRange(column) {
  if (column.low === undefined) return "";
  const shown = (value) => (column.kind === "datetime" ? shownTime(column, value) : String(Number(value.toPrecision(7))));
  return `${shown(column.low)} to ${shown(column.high)}`;
}

/** Whether a number lies beyond those ends: where the data had nothing. What is not seen of it does not count. */
export function isBeyond({ low, high }, value) {
  const seen = Number(value.toPrecision(12));
  return seen < low || seen > high;
}

/** Whether a text is a number beyond those ends: where the data had nothing, a score says little. Of times it is not known. */
export function isOutsideData(column, text) {
  return isBeyond(column, column.kind === "datetime" ? NaN : Number(text.trim() || NaN));
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
    /** How exactly the server reads a row, see numbers.js. */
    this.precision = described ? DOUBLE : SINGLE;
    /** Columns of the context of a conditional model; null where it is conditional on nothing. */
    this.context = manifest.context ?? null;
    /** Whether points of the latent space can be joined by a great circle. */
    this.isSpherical = manifest.base === "normal";
    /** Whether latents lie in a box: at a temperature above 1 they would leave it, and the server draws none. */
    this.hasBox = manifest.base === "uniform";
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

  /** What a command asks for beside what the page does, so that its answer says of a class its name and not its code. */
  get shownAs() {
    return this.isTyped ? { records: true } : {};
  }

  /** What the model is, in a few sentences: what its rows are, what they were learned from, and what kind of model it is. */
  get about() {
    const { manifest } = this;
    const numbers = `${this.dimensions} numbers a row`;
    const rows = {
      sounds: `sounds of ${this.dimensions} samples (${shownNumber((1000 * this.dimensions) / (this.sound?.rate ?? 1))} ms)`,
      images: this.image && `images of ${this.image.height} × ${this.image.width} pixels (${numbers})`,
      table: `rows of ${this.dimensions} columns`,
      points: `points in the plane (${numbers})`,
      numbers: `rows of ${this.dimensions} numbers`,
    }[this.look];
    const what = this.isDetector ? "detector of anomalies among" : "model of";
    const first = `${this.name}, version ${this.version}, is a ${what} ${rows}, trained on ${manifest.data?.name ?? "unknown data"}.`;
    const heldOut = manifest.held_out?.log_prob;
    const score = heldOut === undefined || heldOut === null ? null : `The mean log-density of rows that it never saw is ${shownNumber(heldOut)} nats.`;
    return [first, ...this.kindWords, score].filter(Boolean).join(" ");
  }

  /** Sentences on its family, and on those that it was made from. */
  get kindWords() {
    const { family, members, distilled } = this.manifest;
    if (this.isDetector) return ["It says of a row how unusual it is beside those that it was trained on, and draws none."];
    if (this.members) {
      const families = [...new Set(members.map((member) => FAMILIES[member.family]?.[0] ?? member.family))];
      return [`It is a mixture of ${this.members} flows: ${families.join("; ")}.`];
    }
    const [name, way] = FAMILIES[family] ?? [`a flow of the family ${family}`];
    return [`It is ${name}${way ? `: ${way}` : ""}.`, distilled && `It has learned to draw what the model ${distilled.teacher} draws.`];
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

  /** A value of a row of numbers, as a request has it by the name of its column. */
  valueOf(column, value) {
    const described = this.columns[column];
    if (value === null || Number.isNaN(value)) return null;
    if (described.kind === "categorical") return value < described.classes.length ? described.classes[value] : OTHER;
    return described.kind === "datetime" ? shownTime(described, value) : value;
  }

  /** A row of numbers as values by the names of their columns. */
  named(row) {
    return Object.fromEntries(this.columns.map(({ name }, column) => [name, this.valueOf(column, row[column])]));
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
