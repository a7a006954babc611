// Elements, made in one line, and fields that say what they take. Nothing is ever parsed as HTML.

import { announce } from "./announcer.js";
import { DOUBLE, readNumber } from "./numbers.js";

// Digits of numbers that a narrow field holds.
const SHORT = 5;

// Letters of a word that a narrow column holds.
const LONG = 16;

let made = 0;

/** An id that no other element has. */
export function uniqueId(prefix = "id") {
  made += 1;
  return `${prefix}-${made}`;
}

/**
 * An element.
 * @param {string} tag its name
 * @param {object} attributes of it: `onclick` and the like listen, `class` and others are set,
 *   true sets an attribute without a value, null and false leave it out. Styles stand in style.css:
 *   the page's Content-Security-Policy takes no `style` attribute.
 * @param {...(Node | string)} children what is in it; null is left out
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * A name that may go on in the next line, between its words where they are short enough.
 * @param {string} name
 */
export function breakable(name) {
  const words = name.match(/[^_/.:-]*[_/.:-]+|[^_/.:-]+/g) ?? [];
  const parts = words.flatMap((word) => word.match(new RegExp(`.{1,${LONG}}`, "gu")));
  return parts.flatMap((part) => [part, h("wbr")]);
}

/**
 * A control with its label.
 * @param {string} text of the label
 * @param {HTMLElement} control an input or select
 * @param {...Node} more behind the control, such as an output
 */
export function labelled(text, control, ...more) {
  control.id ||= uniqueId("control");
  return h("span", { class: "field" }, h("label", { for: control.id }, text), control, ...more);
}

/**
 * A slider that says its value.
 * @param {object} options min, max, step, value; `shown(value)` is the value as text; `oninput(value)`
 *   is called with the number while it is dragged
 */
export function slider({ text, min, max, step, value, shown = String, oninput }) {
  const output = h("output", {}, shown(value));
  const input = h("input", { type: "range", min, max, step, value });
  const say = () => {
    output.textContent = shown(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    say();
    oninput(Number(input.value));
  });
  say();
  return { element: labelled(text, input, output), input, say };
}

/** A select of [value, text] pairs. */
export function choice(options, value, onchange) {
  const select = h("select", {}, ...options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  select.addEventListener("change", () => onchange(select.value));
  return select;
}

/** A link to a panel of the page. The address stays: it holds the view. */
export function linkTo(panel, ...children) {
  const go = (event) => {
    event.preventDefault();
    const heading = document.querySelector(`#${panel} h2`);
    heading.scrollIntoView();
    heading.focus({ preventScroll: true });
  };
  return h("a", { href: `#${panel}`, onclick: go }, ...children);
}

/**
 * The entries of which a result is made. A field that refuses what was typed says under itself what it takes, and while
 * any of them refuses, the result is greyed and said to be of the last entries that were taken.
 *
 *   const entries = new Entries(drawing);                   // the element in which the result is shown
 *   const seed = entries.number({ text: "Seed", value: 1, min: 0, max: 99, isWhole: true, onvalue: redraw });
 *   root.append(seed.element, entries.note, drawing);        // the note says of what the result is: it stands just above
 *   seed.set(7);                                             // what a button or a drag chooses: no refusal is left
 *   entries.refuse(input, "Enter a date, such as 2024-01-31."); // a field of another kind (made by `labelled`), by its own check
 *   entries.refuse(input, null);                             // what stands in it is taken
 *   entries.refuse(input, "Too far from the data.", true);   // the server refuses the row: until `lift()`, as any entry makes another row
 *   entries.isRefused                                        // whether any field refuses now: there is nothing new to ask
 *
 * A result that is asked for and refused by the server is none of the last entries: remove it, or `refuse` the field. What else
 * shows the last entries that were taken, such as a point in a drawing, is drawn in grey by who is told by `onChange`.
 */
export class Entries {
  /** @param {HTMLElement} result */
  constructor(result) {
    this.result = result;
    result.classList.add("result");
    /** Input → the element of its message. */
    this.messages = new Map();
    /** Inputs of a row that the server refuses. */
    this.ofRow = new Set();
    this.listeners = [];
    // a result may come, or go, while an entry is refused
    this.observer = new ResizeObserver(() => this.sayNote());
    this.note = h("p", { class: "stale-note", hidden: true }, "An entry is refused: what is shown is still the result of the last entries that were taken.");
    result.classList.remove("stale"); // by entries of a form that is gone
  }

  get isRefused() {
    return this.messages.size > 0;
  }

  /** Call a function whenever a field refuses, or takes what it refused. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** There is another row: the server is asked about it whatever it said of the last one. */
  lift() {
    for (const input of this.ofRow) this.refuse(input, null);
  }

  /**
   * A field for a number; `element`, `input`, and `set(value)` to show another number.
   * @param {object} options `text` of the label; `value`; `min` and `max`, or neither, and `isWhole`: what it takes; `more`: nodes behind
   *   the control; `onvalue(number)` is called with every number that is taken; `on`: `change` where each is costly, so
   *   that an entry is looked at when it is complete; `precision` (numbers.js) of a number without bounds
   */
  number({ text, value, min, max, isWhole = false, precision = DOUBLE, more = [], on = "input", onvalue }) {
    const isBounded = min !== undefined;
    // a field of the type number hides what it refuses, such as 1e400
    const kind = isBounded ? { type: "number", min, max, step: isWhole ? 1 : "any", class: String(max).length <= SHORT && "short" } : { type: "text", inputmode: "decimal", autocomplete: "off" };
    const input = h("input", { ...kind, value });
    input.addEventListener(on, () => {
      const { value: number, fault } = readNumber(input.value, precision);
      const isTaken = number !== null && (!isBounded || (number >= min && number <= max)) && (!isWhole || Number.isInteger(number));
      const message = isBounded ? `Enter a ${isWhole ? "whole number" : "number"} from ${min} to ${max}.` : `Enter a number; ${fault}.`;
      this.refuse(input, isTaken ? null : message);
      if (isTaken) onvalue(number);
    });
    const set = (number) => {
      input.value = number;
      this.refuse(input, null);
    };
    return { element: labelled(text, input, ...more), input, set };
  }

  /**
   * Say under a field why its entry is not taken, and once to a screen reader.
   * @param {HTMLElement} input of a field, as `labelled` makes it
   * @param {string | null} message what the field takes; null where the entry is taken
   * @param {boolean} isOfRow whether the server says so, of the row and not of the entry alone
   */
  refuse(input, message, isOfRow = false) {
    const field = input.closest(".field");
    let said = this.messages.get(input);
    if (isOfRow) this.ofRow.add(input);
    else this.ofRow.delete(input);
    if (message === null) {
      said?.remove();
      this.messages.delete(input);
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    } else {
      if (!said) {
        said = h("span", { class: "refusal", id: uniqueId("refusal") });
        field.append(said);
        this.messages.set(input, said);
        input.setAttribute("aria-invalid", "true");
        input.setAttribute("aria-describedby", said.id);
      }
      if (said.textContent !== message) announce(`${field.querySelector("label").textContent}: ${message}`);
      said.textContent = message;
    }
    this.result.classList.toggle("stale", this.isRefused);
    if (this.isRefused) this.observer.observe(this.result);
    else this.observer.disconnect();
    this.sayNote();
    for (const listener of this.listeners) listener();
  }

  /** Say of what the result is, where one is shown. */
  sayNote() {
    this.note.hidden = !this.isRefused || this.result.offsetHeight === 0;
  }
}

/** Give the user a file. */
export function saveFile(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
