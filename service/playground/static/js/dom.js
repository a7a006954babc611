// Elements, made in one line. Nothing is ever parsed as HTML.

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
