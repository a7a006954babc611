// The frame around a panel: its heading, its errors, its last request as a curl line.

import { announce } from "./announcer.js";
import { ask, described } from "./ask.js";
import { conditionLine } from "./conditions.js";
import { h, uniqueId } from "./dom.js";
import { latest } from "./latest.js";

// What is answered sooner does not flicker.
const SLOW_MS = 400;

/**
 * A panel: one module in `panels/`, one entry in `panels/index.js`.
 *
 * @typedef {object} Panel
 * @property {string} id of letters; begins its keys in the URL (`id.key=value`) and is the id of its section
 * @property {string} title of its heading
 * @property {string | ((model: Model) => string)} hint what to do here, in a sentence
 * @property {(model: Model) => boolean} fits whether the panel makes sense of a model
 * @property {Array<[string, string, string]>} [takes] what it does with a sample that is clicked on: a key, what a click is to do
 *   ("score it"), and what the sample then is ("the row to score"); `mount` says how, by `drawn.onTake`
 * @property {(root: HTMLElement, context: Context) => void | Promise<void>} mount fills `root`, which
 *   is empty. It is called anew when another model, another context, or a view by URL is chosen; what
 *   goes on then is told by `context.signal`.
 *
 * @typedef {object} Context
 * @property {Model} model the model that was chosen, see model.js
 * @property {(path: string, options: object) => Promise<object>} ask see ask.js. `json` gets the model,
 *   its version and its context; `query` of a request with other bodies likewise. `about: false`
 *   leaves them out, for what is not of one model (`metrics`). The request is shown as a command, and its answer takes an error of
 *   before away, unless it is `quiet`: a lesser one beside another. One that is `besides` is a further line of the command of before.
 * @property {string | null} conditionLine the context that was chosen, as a query string has it
 * @property {(path: string, options: () => object) => void} showRequest show as a command a request that is sent in another way
 *   (by a worker), or one that says more than those of the panel; options as of `described` in ask.js, and `about`; they are
 *   asked for when somebody looks
 * @property {() => void} hideRequest show no command: there is no result that one could ask for
 * @property {object} state the panel's part of the URL: `get`, `number`, `numbers`, `set`, see state.js
 * @property {(text: string) => void} announce say a change to a screen reader
 * @property {(work: Function) => Function} latest a function that does work for a control: one at a time, and
 *   the latest wins; its errors are shown in the panel, and the panel is marked as busy
 * @property {(error: Error | null) => void} fail show an error, or none; meanwhile what has the class `result` is grey, as it is
 *   of an earlier answer, and all else stays as it is
 * @property {AbortSignal} signal aborted when the panel is taken away: end requests and listeners with it
 * @property {() => Promise<object>} reference rows of a sample that all panels have in common, see reference.js
 * @property {Drawn} drawn the samples that are drawn, among which rows are chosen, see drawn.js
 */

/**
 * Put a panel on the page.
 * @param {Panel} panel
 * @param {object} page `model`, `state`, `conditions` (values of the context, or null), `signal`, `reference`, `drawn`
 */
export function mountPanel(panel, page) {
  const { model } = page;
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const request = requestLine();
  const root = h("div", { class: "body" });
  const hint = typeof panel.hint === "function" ? panel.hint(model) : panel.hint;
  const headingId = uniqueId("heading");
  const section = h(
    "section",
    { class: "panel", id: panel.id, "aria-labelledby": headingId },
    h("h2", { id: headingId, tabindex: "-1" }, panel.title),
    h("p", { class: "hint" }, hint),
    root,
    problem,
    request.element,
  );

  const fail = (error) => {
    if (page.signal.aborted) return;
    problem.hidden = error === null;
    root.classList.toggle("failed", error !== null);
    problem.textContent = error === null ? "" : error.message;
    if (error !== null && error.name !== "AskError") console.error(error);
  };
  /** A request with the model that is asked, and the context that was chosen. */
  const addressed = ({ about = true, json, query = {}, ...options } = {}) => {
    const target = { model: model.name, version: model.version };
    if (about && json !== undefined) {
      json = { ...target, ...json };
      if (page.conditions) json.context = [page.conditions];
    } else if (about) {
      query = { ...target, ...query };
      if (page.conditions) query.context = conditionLine(model.context, page.conditions);
    }
    return { json, query, ...options };
  };
  const asked = async (path, options) => {
    const answer = await ask(path, { signal: page.signal, onRequest: options?.besides ? request.add : request.show, ...addressed(options) });
    if (!options?.quiet) fail(null);
    return answer;
  };
  const context = {
    model,
    ask: asked,
    conditionLine: page.conditions ? conditionLine(model.context, page.conditions) : null,
    showRequest: (path, options) => request.show(() => described(path, addressed(options()))),
    hideRequest: request.hide,
    state: page.state.of(panel.id),
    announce,
    fail,
    signal: page.signal,
    reference: () => page.reference(request.show),
    drawn: page.drawn,
    latest: (work) => latest(work, fail, busy(section)),
  };
  const start = context.latest(async () => panel.mount(root, context));
  start();
  return section;
}

/** Mark a panel as busy; who looks at it sees that only when it takes long. */
function busy(section) {
  let timer = null;
  return (isBusy) => {
    section.setAttribute("aria-busy", String(isBusy));
    clearTimeout(timer);
    if (isBusy) timer = setTimeout(() => section.classList.add("slow"), SLOW_MS);
    else section.classList.remove("slow");
  };
}

// What stands in place of a command.
const NO_RESULT = "There is no result here that a command could ask for.";

/** The last request of a panel, and those beside it, to be copied. */
function requestLine() {
  const code = h("code", { tabindex: "0" }, NO_RESULT);
  const note = h("p", { hidden: true });
  const saves = h("span");
  const copied = h("span", { role: "status" });
  let requests = [];
  let addresses = [];
  const copy = h(
    "button",
    {
      type: "button",
      hidden: true,
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(command().line);
          copied.textContent = "Copied.";
        } catch {
          getSelection().selectAllChildren(code);
          copied.textContent = "Selected: copy it with Ctrl+C.";
        }
      },
    },
    "Copy",
  );
  const element = h("details", { class: "request" }, h("summary", {}, "This request as a command"), h("pre", {}, code), note, h("p", { class: "row" }, copy, saves, copied));
  // As each answers one question, several lines say what one panel shows.
  const command = () => {
    const all = requests.map((request) => request());
    return {
      line: all.length ? all.map(({ line }) => line).join("\n") : NO_RESULT,
      note: [...new Set(all.map(({ note: text }) => text))].join(" ").trim(),
      bodies: all.filter(({ body }) => body !== undefined),
    };
  };
  // Nobody sees it most of the time: it is written when it is open.
  const write = () => {
    if (!element.open) return;
    const { line, note: text, bodies } = command();
    copy.hidden = !requests.length;
    code.textContent = line.length > 4000 ? `${line.slice(0, 4000)}… (Copy takes all of it)` : line;
    note.textContent = text;
    note.hidden = !text;
    for (const address of addresses) URL.revokeObjectURL(address);
    addresses = bodies.map(({ body }) => URL.createObjectURL(new Blob([body])));
    saves.replaceChildren(...bodies.map(({ file }, i) => h("a", { href: addresses[i], download: file }, `Save ${file}`)));
  };
  element.addEventListener("toggle", write);
  const set = (all) => {
    requests = all;
    copied.textContent = "";
    write();
  };
  return {
    element,
    /** @param {() => object} request as `described` in ask.js has it: it is called when somebody looks */
    show: (request) => set([request]),
    /** Ask also this, in a line of its own. */
    add: (request) => set([...requests, request]),
    /** Show none. */
    hide: () => set([]),
  };
}
