// A row of one's own, and what the model says of it: log-density, quantile or p-value, latent.

import { AskError } from "../ask.js";
import { Entries, h } from "../dom.js";
import { flat } from "../latents.js";
import { shownNumber } from "../model.js";
import { editorOf } from "./point_editors.js";

// Numbers of a latent that are shown one by one.
const MAX_SHOWN = 8;
// Of the columns that raise a score.
const REASONS = 3;
const TOO_FAR = "Too far from the data: the model has no finite answer.";

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
  takes: [["score", "score it", "the row to score"]],

  async mount(root, { model, ask, state, announce, fail, latest, reference, drawn, signal }) {
    const readout = h("dl", { class: "readout" });
    const entries = new Entries(readout);
    const asked = () => ({ ...editor.rows(), partial: true });
    const score = latest(async () => {
      if (entries.isRefused) return;
      const rows = asked();
      try {
        const said = await (model.hasScores ? scored : likelihood)(model, ask, rows);
        readout.replaceChildren(...said.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]));
        announce(said.map(([term, text]) => `${term}: ${text}`).join(". "));
      } catch (error) {
        if (signal.aborted) throw error;
        if (JSON.stringify(rows) !== JSON.stringify(asked())) return; // the row of now is asked for next
        const isAtField = error instanceof AskError && refuseAtField(editor, entries, error.problem);
        fail(isAtField ? null : error);
        if (!isAtField) readout.replaceChildren(); // what it holds is of another row
      }
    });
    const editor = await editorOf({ model, ask, state, latest, reference, drawn, signal, entries, onchange: () => score() });
    drawn.onTake("score", editor.show);
    drawn.follow(editor.keep); // a row of one's own stays
    root.append(editor.element, entries.note, readout);
    await score();
  },
};

/** Say at the fields that are to blame what the server refuses; false where it is none of a field. */
function refuseAtField(editor, entries, problem) {
  if (problem.reason !== "non-finite-output") return editor.refuse?.(problem);
  const inputs = editor.farAway?.() ?? [];
  for (const input of inputs) entries.refuse(input, TOO_FAR, true);
  return inputs.length > 0;
}

/** What a flow or a table says of a row. */
async function likelihood(model, ask, rows) {
  const asked = { ...rows, quantile: model.hasQuantiles || undefined, members: model.members > 0 || undefined };
  const { json } = await ask("log_prob", { json: asked });
  const value = json.log_prob[0];
  const said = [["Log-density", value === null ? "-∞: the model holds this for impossible" : `${shownNumber(value, 5)} nats`]];
  if (json.bits_per_dim) said.push(["Bits per dimension", shownNumber(json.bits_per_dim[0] ?? Infinity)]);
  if (json.member_std) said.push(["Its members", `${shownNumber(json.member_min[0] ?? -Infinity)} to ${shownNumber(json.member_max[0] ?? -Infinity)} nats, deviation ${shownNumber(json.member_std[0])}`]);
  if (json.quantile) said.push(["Quantile", placeAmongHeldOut(json.quantile[0], model.manifest.calibration.rows)]);
  said.push(...remarks(json));
  if (model.isDetector || value === null) return said;
  const { json: encoded } = await ask("encode", { json: rows, besides: true });
  const whose = encoded.member ? ` of member ${encoded.member[0]}, the most responsible one` : "";
  return [...said, ["Latent", `${shownLatent(flat(encoded.z[0]), model)}${whose}`]];
}

/** What a detector says of a row. */
async function scored(model, ask, rows) {
  const { json } = await ask("score", { json: { ...rows, reasons: REASONS } });
  const said = [
    ["Anomaly", json.anomaly[0] ? `yes: its p-value is at most ${json.alpha}` : `no: its p-value is above ${json.alpha}`],
    ["p-value", placeAmongNormal(json.p_value[0], model.manifest.calibration)],
    ["Score", `${shownNumber(json.score[0] ?? Infinity)} (larger is more anomalous)`],
    ["Log-density", `${shownNumber(json.log_prob[0] ?? -Infinity, 5)} nats`],
  ];
  for (const { column, value, expected, share } of json.reasons?.[0] ?? []) {
    const usual = expected.map(shownValue).join(", ") || "another value";
    said.push([`${json.anomaly[0] ? "Because of" : "Least usual:"} ${column}`, `${shownValue(value)}; rows that are otherwise alike have ${usual} (${percent(share)} of the reason)`]);
  }
  return [...said, ...remarks(json)];
}

function placeAmongHeldOut(quantile, rows) {
  const all = `${rows.toLocaleString("en")} held-out rows`;
  if (quantile <= 0) return `less likely than all ${all}`;
  if (quantile >= 1) return `likelier than all ${all}`;
  // between two of the rows it is interpolated: service/conformal/calibration.py
  const digits = rows < 100 ? 2 : rows < 10_000 ? 3 : 4;
  return `${shownNumber(quantile)}: less likely than about ${percent(1 - quantile, digits)} of the ${all}`;
}

// The row itself counts as one that is as anomalous: service/conformal/calibration.py.
function placeAmongNormal(p, { rows, by }) {
  const all = `${rows.toLocaleString("en")} calibration rows`;
  if (!by && p * (rows + 1) < 1.5) return `${shownNumber(p)}: more anomalous than all ${all}`;
  return `${shownNumber(p)}: ${percent(p)} of the ${by ? `calibration rows of its class of ${by}` : all} are at least as anomalous`;
}

function remarks(json) {
  const said = [];
  for (const { column, value } of json.unknown_classes ?? []) said.push(["Unknown class", `${column}: ${shownValue(value)} was not in the data`]);
  for (const { column, expected } of json.changed_constants ?? []) said.push(["Not looked at", `${column} is always ${shownValue(expected)} in the data`]);
  return said;
}

const shownValue = (value) => (typeof value === "number" ? shownNumber(value, 6) : String(value ?? "missing"));

const percent = (share, digits = 3) => `${shownNumber(100 * share, digits)} %`;

function shownLatent(z, model) {
  if (z.length <= MAX_SHOWN) return `(${Array.from(z, (value) => shownNumber(value)).join(", ")})`;
  const size = Math.sqrt(z.reduce((sum, value) => sum + value * value, 0) / z.length);
  const first = Array.from(z.slice(0, 4), (value) => shownNumber(value, 3)).join(", ");
  return `(${first}, …): ${z.length} numbers of root mean square ${shownNumber(size, 3)}${model.isSpherical ? " (1 is typical)" : ""}`;
}
