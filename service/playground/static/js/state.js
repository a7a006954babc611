// What is seen, in the URL's hash, so that a view can be sent: `#model=moons-maf&samples.seed=3`.
// This is the only place that reads or writes it. A key is `model`, `context`, or `PANEL.NAME`.

import { readNumber } from "./numbers.js";

// Browsers refuse to change the address more often.
const WRITE_MS = 350;

export class State {
  constructor() {
    this.values = new URLSearchParams(location.hash.slice(1));
    this.timer = null;
    this.listeners = [];
    addEventListener("hashchange", () => {
      this.values = new URLSearchParams(location.hash.slice(1));
      for (const listener of this.listeners) listener();
    });
    addEventListener("pagehide", () => this.write());
  }

  /** Call a function when somebody else has changed the address: another view is to be shown. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** A value as text; `fallback` where there is none. */
  get(key, fallback = "") {
    return this.values.get(key) ?? fallback;
  }

  /** A finite number between bounds; `fallback` where there is none, or what stands there is none. */
  number(key, fallback, low = -Infinity, high = Infinity) {
    const text = this.values.get(key);
    const value = text === null || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(value) && value >= low && value <= high ? value : fallback;
  }

  /** Likewise a whole number. */
  whole(key, fallback, low, high) {
    const value = this.number(key, fallback, low, high);
    return Number.isInteger(value) ? value : fallback;
  }

  /** Numbers with commas between them; null where they are not `count` numbers of a precision (numbers.js). */
  numbers(key, count, precision) {
    const values = (this.values.get(key) ?? "").split(",").map((text) => readNumber(text, precision).value);
    return values.length === count && !values.includes(null) ? values : null;
  }

  /** Set values; null removes one. Arrays are written with commas. */
  set(changes) {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) this.values.delete(key);
      else this.values.set(key, String(value));
    }
    this.timer ??= setTimeout(() => this.write(), WRITE_MS);
  }

  /** Remove every value whose key begins so. */
  removeAll(prefix) {
    for (const key of [...this.values.keys()]) if (key.startsWith(prefix)) this.values.delete(key);
  }

  /** Write the address now. */
  write() {
    clearTimeout(this.timer);
    this.timer = null;
    const hash = `#${this.values}`;
    if (hash !== location.hash && (this.values.size || location.hash)) {
      history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
    }
  }

  /** The part of one panel: the same functions, with keys below the panel's id. */
  of(panel) {
    const full = (key) => `${panel}.${key}`;
    return {
      get: (key, fallback) => this.get(full(key), fallback),
      number: (key, ...rest) => this.number(full(key), ...rest),
      whole: (key, ...rest) => this.whole(full(key), ...rest),
      numbers: (key, ...rest) => this.numbers(full(key), ...rest),
      set: (changes) => this.set(Object.fromEntries(Object.entries(changes).map(([key, value]) => [full(key), value]))),
    };
  }
}
