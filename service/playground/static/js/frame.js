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
 * @property {(root: HTMLElement, context: Context) => void | Promise<void>} mount fills `root`, which
 *   is empty. It is called anew when another model, another context, or a view by URL is chosen; what
 *   goes on then is told by `context.signal`.
 *
 * @typedef {object} Context
 * @property {Model} model the model that was chosen, see model.js
 * @property {(path: string, options: object) => Promise<object>} ask see ask.js. `json` gets the model,
 *   its version and its context; `query` of a request with other bodies likewise. `about: false`
 *   leaves them out, for what is not of one model (`metrics`). The request is shown as a curl line.
 * @property {string | null} conditionLine the context that was chosen, as a query string has it
 * @property {(path: string, options: object) => void} showRequest show a request that is sent in another way
 *   (by a worker) as a curl line; options as of `ask`, with `file` in place of `body`
 * @property {object} state the panel's part of the URL: `get`, `number`, `numbers`, `set`, see state.js
 * @property {(text: string) => void} announce say a change to a screen reader
 * @property {(work: Function) => Function} latest a function that does work for a control: one at a time, and
 *   the latest wins; its errors are shown in the panel, and the panel is marked as busy
 * @property {(error: Error | null) => void} fail show an error, or none
 * @property {AbortSignal} signal aborted when the panel is taken away: end requests and listeners with it
 * @property {() => Promise<object>} reference rows of a sample that all panels have in common, see reference.js
 */

/**
 * Put a panel on the page.
 * @param {Panel} panel
 * @param {object} page `model`, `state`, `conditions` (values of the context, or null), `signal`, `reference`
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
    h("h2", { id: headingId }, panel.title),
    h("p", { class: "hint" }, hint),
    root,
    problem,
    request.element,
  );

  const fail = (error) => {
    if (page.signal.aborted) return;
    problem.hidden = error === null;
    problem.textContent = error === null ? "" : error.message;
    if (error !== null && error.name !== "AskError") console.error(error);
  };
  const asked = async (path, { about = true, json, query = {}, ...options } = {}) => {
    const target = { model: model.name, version: model.version };
    if (about && json !== undefined) {
      json = { ...target, ...json };
      if (page.conditions) json.context = [page.conditions];
    } else if (about) {
      query = { ...target, ...query };
      if (page.conditions) query.context = conditionLine(model.context, page.conditions);
    }
    const answer = await ask(path, { signal: page.signal, onRequest: request.show, json, query, ...options });
    fail(null);
    return answer;
  };
  const context = {
    model,
    ask: asked,
    conditionLine: page.conditions ? conditionLine(model.context, page.conditions) : null,
    showRequest: (path, options) => request.show(described(path, options)),
    state: page.state.of(panel.id),
    announce,
    fail,
    signal: page.signal,
    reference: () => page.reference(request.show),
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

/** The last request of a panel, to be copied. */
function requestLine() {
  const code = h("code", { tabindex: "0" }, "Nothing has been asked yet.");
  const save = h("a", { hidden: true }, "Save its body");
  const copied = h("span", { role: "status" });
  let last = null;
  let address = null;
  const copy = h(
    "button",
    {
      type: "button",
      hidden: true,
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(last.line);
          copied.textContent = "Copied.";
        } catch {
          getSelection().selectAllChildren(code);
          copied.textContent = "Selected: copy it with Ctrl+C.";
        }
      },
    },
    "Copy",
  );
  const element = h("details", { class: "request" }, h("summary", {}, "This request as a command"), h("pre", {}, code), h("p", { class: "row" }, copy, save, copied));
  // Nobody sees it most of the time: it is written when it is open.
  const write = () => {
    if (!element.open || !last) return;
    copy.hidden = false;
    code.textContent = last.line.length > 4000 ? `${last.line.slice(0, 4000)}… (Copy takes all of it)` : last.line;
    if (address) URL.revokeObjectURL(address);
    address = last.file ? URL.createObjectURL(new Blob([last.body])) : null;
    save.hidden = address === null;
    if (address) {
      save.href = address;
      save.download = last.file;
      save.textContent = `Save its body, ${last.file}`;
    }
  };
  element.addEventListener("toggle", write);
  return {
    element,
    show(request) {
      last = request;
      copied.textContent = "";
      write();
    },
  };
}
