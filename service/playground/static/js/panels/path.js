// Two rows, and the path between their latents: what lies between, while a slider is dragged.

import { choice, h, labelled, slider } from "../dom.js";
import { between, flat, nested } from "../latents.js";
import { shownNumber } from "../model.js";
import { placeOf } from "./path_places.js";

// Kinds of paths, as the server knows them: their name, and what they do.
const KINDS = {
  geodesic: ["great circle", "The direction of the latent turns evenly from A's to B's, and its length goes evenly from the one to the other."],
  normalized: ["straight line, rescaled", "Each point of the straight line is rescaled to a length between those of the latents of A and B: the middle of the line alone would be shorter than latents are."],
  linear: ["straight line", "The latent goes straight from A's to B's."],
};

// Places of the slider between A and B.
const PLACES = 200;

export const path = {
  id: "path",
  title: "Walk between two rows",
  hint: (model) =>
    model.look === "points"
      ? "Drag the points A and B, then the slider: between the latents of the two lies a path, and each place on it is a row again. Where the curve leaves the grey samples, rows are unlikely."
      : "Choose two of the samples that are drawn, then drag the slider: between the latents of the two lies a path, and each place on it is a row again.",
  fits: (model) => !model.isDetector && model.dimensions <= 65_536,
  takes: [
    ["a", "walk from it, as A", "A of the walk"],
    ["b", "walk to it, as B", "B of the walk"],
  ],

  async mount(root, { model, ask, showRequest, state, announce, fail, latest, reference, drawn, signal }) {
    const kinds = model.isSpherical ? Object.keys(KINDS) : ["linear"];
    let kind = kinds.includes(state.get("kind")) ? state.get("kind") : kinds[0];
    let t = Math.round(PLACES * state.number("t", 0.5, 0, 1)) / PLACES;
    let latents = null; // of the ends, once they are known
    let member; // of an ensemble: whose latents they are
    const perSecond = counter();
    const rate = h("output", { class: "hint result" });
    const said = h("p", { class: "readout result" });

    const place = await placeOf({
      model,
      reference,
      drawn,
      state,
      signal,
      onEnds: () => {
        latents = null;
        walk();
      },
    });

    const go = async () => {
      if (latents === null) {
        const { start, end } = place.ends();
        const asked = { start: nested(start, model.eventShape), end: nested(end, model.eventShape), steps: place.steps, path: kind, partial: true };
        latents = []; // who changes an end from here on sets it to null again
        const { json } = await ask("interpolate", { json: asked });
        member = json.member?.[0];
        place.showPath(json.x.map(flat), start, end);
        if (latents !== null) latents = [flat(json.z[0]), flat(json.z[json.z.length - 1])];
      }
      if (latents === null || latents.length === 0) return;
      const z = between(...latents, t, kind).map((value) => Number(value.toPrecision(model.isTyped ? 17 : 9)));
      const command = [t, kind];
      showRequest("interpolate", () => commandOf(model, place.ends(), ...command));
      const { json } = await ask("decode", { json: { z: [nested(z, model.latentShape)], member, partial: true }, quiet: true });
      fail(null);
      place.showPoint(flat(json.x[0]), t);
      said.textContent = `${Math.round(100 * t)} % of the way. Log-density ${shownNumber(json.log_prob[0] ?? -Infinity)} nats.`;
      rate.textContent = perSecond();
      state.set({ t, kind });
      announce(said.textContent);
    };
    const walk = latest(() =>
      go().catch((error) => {
        latents = null; // the next movement asks again
        place.clear?.();
        throw error;
      }),
    );

    const way = slider({
      text: "From A to B",
      min: 0,
      max: 1,
      step: 1 / PLACES,
      value: t,
      shown: (value) => `${Math.round(100 * value)} %`,
      oninput: (value) => {
        t = value;
        walk();
      },
    });
    way.input.classList.add("wide");
    const kindWords = h("span", { class: "hint" }, KINDS[kind][1]);
    const kindChoice = choice(kinds.map((name) => [name, KINDS[name][0]]), kind, (value) => {
      kind = value;
      kindWords.textContent = KINDS[kind][1];
      latents = null;
      walk();
    });
    root.append(place.element, h("div", { class: "row" }, way.element, labelled("Path in the latent space", kindChoice, kindWords)), said, rate);
    await walk();
  },
};

/** The question for a place of the slider as a command: the path in as few steps as have this place. */
function commandOf(model, { start, end }, t, path) {
  let [number, steps] = [Math.round(PLACES * t), PLACES];
  for (const factor of [2, 5]) {
    while (number % factor === 0 && steps % factor === 0) [number, steps] = [number / factor, steps / factor];
  }
  const row = (values) => (model.isTyped ? model.named(values) : nested(values, model.eventShape));
  return { json: { start: row(start), end: row(end), steps: steps + 1, path }, note: `The row that is shown is number ${number + 1} of the ${steps + 1} that this answers.` };
}

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
