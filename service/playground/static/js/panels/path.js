// Two rows, and the path between their latents: what lies between, while a slider is dragged.

import { choice, h, labelled, slider } from "../dom.js";
import { between, flat, nested } from "../latents.js";
import { shownNumber } from "../model.js";
import { placeOf } from "./path_places.js";

const KINDS = [
  ["geodesic", "great circle"],
  ["normalized", "straight line, of usual length"],
  ["linear", "straight line"],
];

export const path = {
  id: "path",
  title: "Walk between two rows",
  hint: (model) =>
    model.look === "points"
      ? "Drag the points A and B, then the slider: between the latents of the two lies a path, and each place on it is a row again. Where the curve leaves the grey samples, rows are unlikely."
      : "Choose two rows, then drag the slider: between the latents of the two lies a path, and each place on it is a row again.",
  fits: (model) => !model.isDetector && model.dimensions <= 65_536,

  async mount(root, { model, ask, state, announce, latest, reference, signal }) {
    const rows = await reference();
    const kinds = model.isSpherical ? KINDS : KINDS.slice(2);
    let kind = kinds.some(([name]) => name === state.get("kind")) ? state.get("kind") : kinds[0][0];
    let t = state.number("t", 0.5, 0, 1);
    let latents = null; // of the ends, once they are known
    let member; // of an ensemble: whose latents they are
    const perSecond = counter();
    const rate = h("output", { class: "hint" });
    const said = h("p", { class: "readout" });

    const place = placeOf({
      model,
      rows,
      state,
      signal,
      onEnds: () => {
        latents = null;
        walk();
      },
    });

    const walk = latest(async () => {
      if (latents === null) {
        const { start, end } = place.ends();
        const asked = { start: nested(start, model.eventShape), end: nested(end, model.eventShape), steps: place.steps, path: kind };
        latents = []; // who changes an end from here on sets it to null again
        const { json } = await ask("interpolate", { json: asked });
        member = json.member?.[0];
        place.showPath(json.x.map(flat), start, end);
        if (latents !== null) latents = [flat(json.z[0]), flat(json.z[json.z.length - 1])];
      }
      if (latents === null || latents.length === 0) return;
      const z = between(...latents, t, kind).map((value) => Number(value.toPrecision(model.isTyped ? 17 : 9)));
      const { json } = await ask("decode", { json: { z: [nested(z, model.latentShape)], member } });
      place.showPoint(flat(json.x[0]), t);
      said.textContent = `${Math.round(100 * t)} % of the way. Log-density ${shownNumber(json.log_prob[0] ?? -Infinity)} nats.`;
      rate.textContent = perSecond();
      state.set({ t, kind });
      announce(said.textContent);
    });

    const way = slider({
      text: "From A to B",
      min: 0,
      max: 1,
      step: 0.005,
      value: t,
      shown: (value) => `${Math.round(100 * value)} %`,
      oninput: (value) => {
        t = value;
        walk();
      },
    });
    way.input.classList.add("wide");
    const kindChoice = choice(kinds, kind, (value) => {
      kind = value;
      latents = null;
      walk();
    });
    root.append(place.element, h("div", { class: "row" }, way.element, labelled("Path in the latent space", kindChoice)), said, rate);
    await walk();
  },
};

/** What counts answers, and says how many the last second had, where they were many. */
function counter() {
  const answers = [];
  return () => {
    const now = performance.now();
    answers.push(now);
    while (answers[0] < now - 1000) answers.shift();
    return answers.length >= 5 ? `${answers.length} answers in the last second` : "";
  };
}
