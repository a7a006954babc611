// Rows of columns with names, as a table.

import { h } from "../dom.js";
import { shownNumber } from "../model.js";

// Columns of a row that are shown.
const MAX_COLUMNS = 64;

/**
 * A table of rows.
 * @param {Model} model whose columns they have
 * @param {Array<ArrayLike<number>>} rows
 * @param {object} options `caption`; `extra`: more columns, as [name, values] pairs; `mark(column, value)`: whether a value is
 *   marked, as one outside the data; `head(i)`: what stands before row i
 */
export function tableOf(model, rows, { caption, extra = [], mark = () => false, head = (i) => String(i + 1) }) {
  const columns = model.columns.slice(0, MAX_COLUMNS);
  const more = model.columns.length - columns.length;
  const cell = (value) => h("td", {}, typeof value === "number" ? shownNumber(value) : String(value));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, more > 0 ? `${caption}; ${more} more columns are not shown` : caption),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "row"), ...columns.map(({ name }) => h("th", { scope: "col" }, name)), ...extra.map(([name]) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        ...rows.map((row, i) =>
          h("tr", {}, h("th", { scope: "row" }, head(i)), ...columns.map((_, k) => h("td", { class: mark(k, row[k]) && "outside" }, model.shown(k, row[k]))), ...extra.map(([, values]) => cell(values[i]))),
        ),
      ),
    ),
  );
}
