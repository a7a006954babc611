// How busy the server is: requests, latency and queue of the last minute, from its metrics.

import { h } from "../dom.js";
import { Chart, curve } from "../draw/chart.js";
import { readMetrics } from "../live/metrics.js";
import { SECONDS, hasBegun, lastMinute, newest, note } from "../live/readings.js";
import { shownNumber } from "../model.js";

const EVERY_MS = 1000;

// After an answer that came late, or none, the server is asked less often.
const LATE_MS = 500;
const PAUSE_MS = 5000;

const CHARTS = [
  { title: "Requests a second", axis: "requests a second", unit: "a second", curves: [["requests", "accent", "answered"], ["failures", "mark", "of these refused"]] },
  { title: "Rows a second", axis: "rows a second", unit: "a second", curves: [["rows", "accent", "answered"]] },
  { title: "Latency", axis: "milliseconds", unit: "ms", curves: [["median", "accent", "half within"], ["slow", "mark", "99 % within"]] },
  { title: "Rows that wait", axis: "rows", unit: "rows", isCounted: true, curves: [["queue", "accent", "in the queue"]] },
];

export const live = {
  id: "live",
  title: "The server, live",
  hint: "Questions to all models by all callers in the last minute: those of the panels above count, the readings of /metrics once a second do not. Point at a second, or use the arrow keys, to read it.",
  fits: () => true,

  mount(root, context) {
    const { signal } = context;
    const said = h("p", { class: "hint" });
    const charts = CHARTS.map((chart) => chartOf(chart, signal));
    root.append(h("div", { class: "charts result" }, ...charts.map(({ element }) => element)), said);
    let isInSight = false;
    let timer = null;

    const draw = (now) => {
      for (const chart of charts) chart.draw(now);
      said.textContent = words(newest(now), lastMinute(now));
    };
    // once it was in sight it goes on while the page is, so that whoever comes back sees what was meanwhile
    const isWanted = () => (isInSight || hasBegun()) && !document.hidden && !signal.aborted;
    const look = async () => {
      timer = null;
      if (!isWanted()) return;
      const began = performance.now();
      let pause = EVERY_MS;
      try {
        const { blob } = await context.ask("metrics", { about: false });
        const totals = readMetrics(await blob.text());
        const now = performance.now();
        if (now - began > LATE_MS) pause = PAUSE_MS;
        note(totals, now, pause);
        draw(now);
      } catch (error) {
        if (signal.aborted) return;
        context.fail(error);
        draw(performance.now());
        if (error.status === 401 || error.status === 403) return; // the key does not allow it
        pause = PAUSE_MS;
      }
      next(pause);
    };
    const next = (pause) => {
      if (timer === null && isWanted()) timer = setTimeout(look, pause);
    };
    const observer = new IntersectionObserver((entries) => {
      isInSight = entries.at(-1).isIntersecting;
      next(EVERY_MS); // until then the panels above may push it out of sight
    });
    observer.observe(root);
    const onVisible = () => {
      draw(performance.now());
      next(EVERY_MS);
    };
    document.addEventListener("visibilitychange", onVisible, { signal });
    signal.addEventListener("abort", () => {
      observer.disconnect();
      clearTimeout(timer);
    });
    draw(performance.now());
    next(EVERY_MS);
  },
};

function words(last, readings) {
  if (!last) return readings.length ? "Waiting for the next reading." : "Waiting for the first two readings.";
  const latency = last.median === null ? "" : `, half of them within ${shownNumber(last.median, 2)} ms`;
  return `${shownNumber(last.requests, 2)} requests and ${shownNumber(last.rows, 3)} rows a second${latency}. Rows that wait: ${last.queue}; requests in progress, this page's look among them: ${last.inFlight}.`;
}

/** A chart with its heading and its legend, which says the values: of the second that is pointed at, else those of now. */
function chartOf({ title, axis, unit, isCounted, curves }, signal) {
  const when = h("span", { class: "hint" });
  const values = curves.map(() => h("strong"));
  const legend = curves.map(([, colour, text], i) => h("span", { class: `key ${colour}` }, text, " ", values[i]));
  const valueOf = (each, [name]) => (each[name] === null ? "–" : `${shownNumber(each[name], 3)} ${unit}`);
  const words = (each) => (each.requests === null ? "no reading" : curves.map((one) => `${one[2]} ${valueOf(each, one)}`).join(", "));
  let isRead = false;
  let now = 0;
  const read = (index) => {
    isRead = index !== null;
    const each = isRead ? lastMinute(now)[index] : newest(now);
    const ago = each ? `${Math.round((now - each.at) / 1000)} s ago` : "";
    when.textContent = isRead ? ago : "";
    values.forEach((value, i) => (value.textContent = each ? valueOf(each, curves[i]) : ""));
    return each ? `${ago}: ${words(each)}` : "";
  };
  const chart = new Chart({
    label: title,
    names: ["seconds", axis],
    series: curves.map(([, colour]) => curve(colour)),
    isCounted,
    read,
    group: "live",
    signal,
  });
  return {
    element: h("figure", {}, h("figcaption", {}, h("strong", {}, title), " ", when, h("br"), ...legend), chart.element),
    draw(at) {
      now = at;
      const seen = lastMinute(now);
      const last = newest(now);
      const rows = curves.map(([name]) => seen.map((each) => each[name]));
      const largest = Math.max(1, ...rows.flat()); // null is less
      const data = seen.length ? [seen.map((each) => (each.at - now) / 1000), ...rows] : [[-SECONDS, 0], ...curves.map(() => [null, null])];
      const view = [
        [-SECONDS, 0],
        [0, 1.15 * largest],
      ];
      chart.show(data, view, last ? `${title}: ${words(last)}` : title);
      if (!isRead) read(null);
    },
  };
}
