// The page: which models there are, which one is chosen, and its panels.

import { announce } from "./announcer.js";
import { ask } from "./ask.js";
import { fillConditions } from "./conditions.js";
import { h, linkTo } from "./dom.js";
import { Drawn } from "./drawn.js";
import { mountPanel } from "./frame.js";
import { keepKey, key } from "./key.js";
import { Model } from "./model.js";
import { PANELS } from "./panels/index.js";
import { referenceRows } from "./reference.js";
import { State } from "./state.js";

const state = new State();
const element = (id) => document.getElementById(id);
const panels = element("panels");

// The panels that are shown end with this.
let shown = new AbortController();

function fail(error) {
  if (error !== null && error.name === "AbortError") return;
  const problem = element("problem");
  problem.hidden = error === null;
  problem.textContent = error === null ? "" : error.message;
  if (error !== null && error.name !== "AskError") console.error(error);
}

/** Ask which models there are, and show one. */
async function start() {
  panels.setAttribute("aria-busy", "true");
  try {
    const [, { json }] = await Promise.all([ask("health/ready"), ask("models")]);
    fail(null);
    element("key").hidden = !key();
    fillChoice(json);
    if (json.models.length) await show();
    else fail(new Error(nothing(json)));
  } catch (error) {
    if (error.status === 503) {
      // models are being loaded, or those of `make serve` are being trained
      error.message += " This page looks again every two seconds. Where examples are being trained, the first one takes less than a minute.";
      setTimeout(start, 2000);
    }
    fail(error);
  }
  panels.setAttribute("aria-busy", "false");
}

function nothing({ refused }) {
  if (refused.length) return `No model could be loaded. ${refused[0].name}: ${refused[0].reason}`;
  return "There is no model here yet: `bijecta export RUN --store STORE` writes one, and `make store` trains examples.";
}

function fillChoice({ models, default: standard }) {
  const names = models.map((model) => model.name);
  const select = element("model");
  select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  element("choice").hidden = names.length === 0;
  const wanted = [state.get("model"), (standard ?? "").split("@")[0], firstToSee(models)];
  const chosen = wanted.find((name) => names.includes(name));
  if (state.get("model") && chosen !== state.get("model")) announce(`There is no model ${state.get("model")} here.`);
  if (chosen) select.value = chosen;
}

/** Offer models that have come since the page was opened, too. */
async function addModels() {
  const select = element("model");
  try {
    const { json } = await ask("models");
    const known = Array.from(select.options, ({ value }) => value);
    const all = [...new Set([...known, ...json.models.map(({ name }) => name)])].sort();
    if (all.length === known.length) return;
    const { value } = select;
    select.replaceChildren(...all.map((name) => h("option", { value: name }, name)));
    select.value = value;
  } catch {
    // the choice stays as it is
  }
}

// Which model is seen first, by the first of these on which two differ, else by name.
const FIRST = [
  ({ kind }) => kind !== "detector", // it draws samples
  ({ kind, event_shape: shape }) => kind !== "table" && shape?.length === 1 && shape[0] === 2, // points in the plane are the easiest to understand
  ({ context }) => !context, // there is nothing to choose before
  ({ distilled }) => !distilled, // it has learned from data, and not from another model
  ({ cost }) => cost?.encode === "parallel", // the page scores rows at every movement
];

/** The model for who has chosen none. */
function firstToSee(models) {
  const rank = (model) => FIRST.map((isBetter) => Number(!isBetter(model))).join("");
  return [...models].sort((a, b) => rank(a).localeCompare(rank(b)) || a.name.localeCompare(b.name))[0]?.name;
}

/** Show the model that is chosen. */
async function show() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const name = element("model").value;
  state.set({ model: name });
  const { json } = await ask(`models/${encodeURIComponent(name)}`, { signal });
  if (signal.aborted) return;
  const model = new Model(json);
  document.title = `${model.name} – Bijecta playground`;
  element("about").textContent = model.about;
  const conditions = fillConditions(element("context"), model, state, panels, (values) => mountAll(model, values));
  mountAll(model, conditions);
}

function mountAll(model, conditions) {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const fitting = PANELS.filter((panel) => panel.fits(model));
  const uses = fitting.flatMap((panel) => (panel.takes ?? []).map(([key, text, said]) => ({ key, text, said, panel })));
  const page = { model, state, conditions, signal, reference: referenceRows(model, conditions, signal), drawn: new Drawn(uses) };
  const sections = fitting.map((panel) => mountPanel(panel, page));
  // two columns of about one height: of an even number the last one, which is the widest, stands below both
  const below = sections.length % 2 === 0 ? sections.splice(-1) : [];
  const half = Math.floor(sections.length / 2);
  const columns = [sections.slice(0, half), sections.slice(half)].filter((part) => part.length);
  panels.replaceChildren(...columns.map((part) => h("div", { class: "column" }, ...part)), ...below);
  element("jump").replaceChildren(...fitting.map(({ id, title }) => linkTo(id, title)));
  element("jump").hidden = false;
}

element("model").addEventListener("change", () => {
  for (const panel of PANELS) state.removeAll(`${panel.id}.`);
  state.set({ context: null });
  show().then(() => announce(`${element("model").value} is shown.`), fail);
});

// whoever is about to choose
for (const name of ["pointerenter", "focus"]) element("model").addEventListener(name, addModels);

// its fields are taken as they are changed
element("context").addEventListener("submit", (event) => event.preventDefault());

element("key").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(element("key-value").value.trim());
  element("key-value").value = "";
  start();
});

document.addEventListener("key-wanted", () => {
  element("key").hidden = false;
});

element("copy-link").addEventListener("click", async () => {
  state.write();
  try {
    await navigator.clipboard.writeText(location.href);
    announce("The link is copied.");
    element("copy-link").textContent = "Copied";
  } catch {
    element("copy-link").textContent = "The link is in the address bar";
  }
  setTimeout(() => {
    element("copy-link").textContent = "Copy a link to this view";
  }, 3000);
});

state.onChange(start);
start();
