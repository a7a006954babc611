// A row of one's own, and what the model says of it: log-density, quantile or p-value, latent.

import { h } from "../dom.js";
import { flat } from "../latents.js";
import { shownNumber } from "../model.js";
import { editorOf } from "./point_editors.js";

// Numbers of a latent that are shown one by one.
const MAX_SHOWN = 8;
// Of the columns that raise a score.
const REASONS = 3;

export const point = {
  id: "point",
  title: "Score a row of your own",
  hint: (model) => {
    if (model.isDetector) return "Change the values of this row, and see whether the detector takes it for an anomaly, and why.";
    if (model.look === "points") return "Click into the map, drag the point, or type its numbers. Bright is likely.";
    if (model.look === "images") return "Paint on the image, or start from a sample, and see how likely the model finds it.";
    return "Change the values of this row, and see how likely the model finds it.";
  },
  fits: (model) => model.isDetector || model.dimensions <= 65_536,

  async mount(root, { model, ask, state, announce, latest, reference, signal }) {
    const readout = h("dl", { class: "readout" });
    const score = latest(async () => {
      const said = await (model.hasScores ? scored : likelihood)(model, ask, editor.rows());
      readout.replaceChildren(...said.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]));
      announce(said.map(([term, text]) => `${term}: ${text}`).join(". "));
    });
    const editor = await editorOf({ model, ask, state, latest, reference, signal, onchange: () => score() });
    root.append(editor.element, readout);
    await score();
  },
};

/** What a flow or a table says of a row. */
async function likelihood(model, ask, rows) {
  const asked = { ...rows, quantile: model.hasQuantiles || undefined, members: model.members > 0 || undefined };
  const { json } = await ask("log_prob", { json: asked });
  const value = json.log_prob[0];
  const said = [["Log-density", value === null ? "−∞: the model holds this for impossible" : `${shownNumber(value, 5)} nats`]];
  if (json.bits_per_dim) said.push(["Bits per dimension", shownNumber(json.bits_per_dim[0] ?? Infinity)]);
  if (json.member_std) said.push(["Its members", `${shownNumber(json.member_min[0] ?? -Infinity)} to ${shownNumber(json.member_max[0] ?? -Infinity)} nats, deviation ${shownNumber(json.member_std[0])}`]);
  if (json.quantile) said.push(["Quantile", `${percent(json.quantile[0])} of the held-out rows are at most as likely`]);
  said.push(...remarks(json));
  if (model.isDetector || value === null) return said;
  const { json: encoded } = await ask("encode", { json: rows });
  const whose = encoded.member ? ` of member ${encoded.member[0]}, the most responsible one` : "";
  return [...said, ["Latent", `${shownLatent(flat(encoded.z[0]))}${whose}`]];
}

/** What a detector says of a row. */
async function scored(model, ask, rows) {
  const { json } = await ask("score", { json: { ...rows, reasons: REASONS } });
  const p = json.p_value[0];
  const said = [
    ["Anomaly", json.anomaly[0] ? `yes: its p-value is at most ${json.alpha}` : `no: its p-value is above ${json.alpha}`],
    ["p-value", `${percent(p)} of the calibration rows are at least as anomalous`],
    ["Score", `${shownNumber(json.score[0] ?? Infinity)} (larger is more anomalous)`],
    ["Log-density", `${shownNumber(json.log_prob[0] ?? -Infinity, 5)} nats`],
  ];
  for (const { column, value, expected, share } of json.reasons?.[0] ?? []) {
    const usual = expected.map(shownValue).join(", ") || "another value";
    said.push([`${json.anomaly[0] ? "Because of" : "Least usual:"} ${column}`, `${shownValue(value)}; rows that are otherwise alike have ${usual} (${percent(share)} of the reason)`]);
  }
  return [...said, ...remarks(json)];
}

function remarks(json) {
  const said = [];
  for (const { column, value } of json.unknown_classes ?? []) said.push(["Unknown class", `${column}: ${shownValue(value)} was not in the data`]);
  for (const { column, expected } of json.changed_constants ?? []) said.push(["Not looked at", `${column} is always ${shownValue(expected)} in the data`]);
  return said;
}

const shownValue = (value) => (typeof value === "number" ? shownNumber(value, 6) : String(value ?? "missing"));

const percent = (share) => `${shownNumber(100 * share, 3)} %`;

function shownLatent(z) {
  if (z.length <= MAX_SHOWN) return `(${Array.from(z, (value) => shownNumber(value)).join(", ")})`;
  const size = Math.sqrt(z.reduce((sum, value) => sum + value * value, 0) / z.length);
  const first = Array.from(z.slice(0, 4), (value) => shownNumber(value, 3)).join(", ");
  return `(${first}, …), ${z.length} numbers of root mean square ${shownNumber(size, 3)}`;
}
