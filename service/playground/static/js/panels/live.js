// How busy the server is: requests, latency and queue of the last minute, from its metrics.

import { h } from "../dom.js";
import { Chart, curve } from "../draw/chart.js";
import { between, readMetrics } from "../live/metrics.js";
import { shownNumber } from "../model.js";

const EVERY_MS = 1000;
const SECONDS = 60;

// After an answer that came late, or none, the server is asked less often.
const LATE_MS = 500;
const PAUSE_MS = 5000;

const CHARTS = [
  { title: "Requests a second", unit: "1/s", curves: [["requests", "accent", "answered"], ["failures", "mark", "of these refused"]] },
  { title: "Rows a second", unit: "rows/s", curves: [["rows", "accent", "rows"]] },
  { title: "Latency", unit: "ms", curves: [["median", "accent", "half are faster"], ["slow", "mark", "99 % are faster"]] },
  { title: "Rows that wait", unit: "rows", isCounted: true, curves: [["queue", "accent", "ahead of a new request"]] },
];

// What has been seen stays when another model is chosen: it is of all of them.
const seen = [];
let before = null;

export const live = {
  id: "live",
  title: "The server, live",
  hint: "The last minute of all models and callers, this page among them, from /metrics. Point at a second, or use the arrow keys, to read it.",
  fits: () => true,

  mount(root, context) {
    const { signal } = context;
    const said = h("p", { class: "hint" }, "…");
    const charts = CHARTS.map((chart) => chartOf(chart, signal));
    root.append(h("div", { class: "charts" }, ...charts.map(({ element }) => element)), said);
    let isVisible = false;
    let timer = null;

    const draw = (at) => {
      for (const chart of charts) chart.draw(at);
    };
    const look = async () => {
      timer = null;
      if (!isVisible || document.hidden) return;
      const began = performance.now();
      let pause = EVERY_MS;
      try {
        const { blob } = await context.ask("metrics", { about: false });
        const at = performance.now();
        note(readMetrics(await blob.text()), at);
        said.textContent = words(seen.at(-1));
        draw(at);
        if (at - began > LATE_MS) pause = PAUSE_MS;
      } catch (error) {
        if (signal.aborted) return;
        context.fail(error);
        if (error.status === 401 || error.status === 403) return; // the key does not allow it
        pause = PAUSE_MS;
      }
      next(pause);
    };
    const next = (pause) => {
      if (timer === null && isVisible && !document.hidden && !signal.aborted) timer = setTimeout(look, pause);
    };
    const observer = new IntersectionObserver((entries) => {
      isVisible = entries.at(-1).isIntersecting;
      next(EVERY_MS); // until then the panels above may push it out of sight
    });
    observer.observe(root);
    document.addEventListener("visibilitychange", () => next(EVERY_MS), { signal });
    signal.addEventListener("abort", () => {
      observer.disconnect();
      clearTimeout(timer);
    });
  },
};

/** Remember what the metrics say, beside what they said before. */
function note(totals, at) {
  if (before && at - before.at < 10 * PAUSE_MS) seen.push({ at, ...between(before.totals, totals, (at - before.at) / 1000) });
  before = { totals, at };
  while (seen.length && seen[0].at < at - 1000 * SECONDS) seen.shift();
}

function words(last) {
  if (!last) return "…";
  const latency = last.median === null ? "" : `, half of them within ${shownNumber(last.median, 2)} ms`;
  return `${shownNumber(last.requests, 2)} requests and ${shownNumber(last.rows, 3)} rows a second${latency}. Rows that wait: ${last.queue}; requests in progress, this page's look among them: ${last.inFlight}.`;
}

/** A chart with its heading and its legend, which says the values: of the second that is pointed at, else the last. */
function chartOf({ title, unit, isCounted, curves }, signal) {
  const when = h("span", { class: "hint" });
  const values = curves.map(() => h("strong"));
  const legend = curves.map(([, colour, text], i) => h("span", { class: `key ${colour}` }, text, " ", values[i]));
  const valueOf = (each, [name]) => (each[name] === null ? "–" : `${shownNumber(each[name], 3)} ${unit}`);
  const words = (each) => curves.map((one) => `${one[2]} ${valueOf(each, one)}`).join(", ");
  let isRead = false;
  let now = 0;
  const read = (index) => {
    isRead = index !== null;
    const each = isRead ? seen[index] : seen.at(-1);
    if (!each) return "";
    const ago = `${Math.round((now - each.at) / 1000)} s ago`;
    when.textContent = isRead ? ago : "";
    values.forEach((value, i) => (value.textContent = valueOf(each, curves[i])));
    return `${ago}: ${words(each)}`;
  };
  const chart = new Chart({
    label: title,
    names: ["seconds", unit],
    series: curves.map(([, colour]) => curve(colour)),
    isCounted,
    read,
    group: "live",
    signal,
  });
  chart.show([[-SECONDS, 0], ...curves.map(() => [null, null])], [[-SECONDS, 0], [0, 1]], title);
  return {
    element: h("figure", {}, h("figcaption", {}, h("strong", {}, title), " ", when, h("br"), ...legend), chart.element),
    draw(at) {
      now = at;
      const last = seen.at(-1);
      if (!last) return;
      const rows = curves.map(([name]) => seen.map((each) => each[name]));
      const largest = Math.max(1, ...rows.flat()); // null is less
      const view = [
        [-SECONDS, 0],
        [0, 1.15 * largest],
      ];
      chart.show([seen.map((each) => (each.at - at) / 1000), ...rows], view, `${title}: ${words(last)}`);
      if (!isRead) read(null);
    },
  };
}
