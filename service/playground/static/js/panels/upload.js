// A file of rows: the histogram of its scores, the rows beyond a level, and the file with its scores.

import { AskError } from "../ask.js";
import { Entries, h, labelled, saveFile } from "../dom.js";
import { Histogram } from "../draw/histogram.js";
import { key } from "../key.js";
import { AS_NAMES, expectation, rowsTable, skipped, summary } from "../upload/words.js";

const SERIES = {
  score: "scores",
  surprise: "−log-density",
  "tail-score": "p-values",
  "tail-surprise": "quantiles",
};

/** The request of each piece of a file. */
function requestOf({ model, conditionLine }) {
  const query = { model: model.name, version: String(model.version) };
  if (!model.isDetector && model.hasQuantiles) query.quantile = "true";
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  return { base: new URL(".", document.baseURI).href, path: model.isDetector ? "score" : "log_prob", query, headers, conditionLine, conditions: (model.context ?? []).map(({ name }) => name) };
}

export const upload = {
  id: "upload",
  title: "Score a file",
  hint: (model) =>
    `Choose a CSV with a line of names, an .npy array or a Parquet file of rows like ${model.isDetector ? "those that the detector knows" : "the training data"}. It is sent to this server and to nobody else. Rows are counted from 1.`,
  fits: (model) => !model.isDetector || model.hasScores,

  mount(root, context) {
    const { model, state, signal } = context;
    const request = requestOf(context);
    let job = 0;
    let alpha = state.number("alpha", 0.05, 0, 1);
    let series = state.get("show", "");
    let worker = null;
    let fileName = "";

    const input = h("input", { type: "file", accept: ".csv,.npy,.parquet,.pq,text/csv" });
    const show = h("select", { disabled: true }, h("option", {}, SERIES[model.isDetector ? "score" : "surprise"]));
    const showField = labelled("Histogram of", show);
    showField.hidden = true;
    const stop = h("button", { type: "button", hidden: true, onclick: () => end("Stopped.") }, "Stop");
    const download = h("button", { type: "button", hidden: true, onclick: () => tell({ do: "download" }) }, "Download the scored file");
    const progress = h("progress", { hidden: true, "aria-label": "rows that are scored" });
    const said = h("p", { role: "status" });
    const warning = h("p", { class: "warning", hidden: true });
    const histogram = new Histogram(signal);
    const table = h("div");
    const result = h("div", {}, said, warning, histogram.element, table);
    const entries = new Entries(result);
    const level = entries.number({
      text: "Alarm level α",
      value: alpha,
      min: 0,
      max: 1,
      on: "change",
      onvalue: (value) => {
        alpha = value;
        state.set({ alpha });
        tell({ do: "view" });
      },
    });
    root.append(
      h("div", { class: "row" }, labelled("File", input), level.element, showField, stop, download),
      progress,
      entries.note,
      result,
    );

    const tell = (message) => worker?.postMessage({ job, alpha, series, ...message });
    const end = (text) => {
      worker?.terminate();
      worker = null;
      stop.hidden = progress.hidden = true;
      said.textContent = text;
    };
    signal.addEventListener("abort", () => worker?.terminate());

    const score = (file) => {
      end("");
      context.fail(null);
      context.hideRequest();
      table.replaceChildren();
      histogram.element.hidden = showField.hidden = download.hidden = warning.hidden = true;
      show.disabled = true;
      worker = new Worker(new URL("../upload/worker.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }) => data.job === job && on[data.is](data);
      worker.onerror = () => on.failed({ message: "This page cannot read files: its worker did not start." });
      job++;
      stop.hidden = progress.hidden = false;
      progress.removeAttribute("value");
      fileName = file.name;
      said.textContent = `Reading ${fileName} …`;
      tell({ do: "score", file, request });
    };

    const draw = (data) => {
      showField.hidden = false;
      fillShow(data);
      histogram.show(data);
    };
    const fillShow = ({ kinds, picture, isDetector }) => {
      const words = kinds.map((kind) => [kind, SERIES[kind] ?? SERIES[`tail-${isDetector ? "score" : "surprise"}`]]);
      if (show.options.length !== words.length || show.disabled) {
        show.replaceChildren(...words.map(([kind, text]) => h("option", { value: kind }, text)));
        show.disabled = false;
      }
      show.value = picture.series;
    };
    const on = {
      started: ({ type, query }) => context.showRequest(request.path, () => ({ about: false, query, type, file: fileName })),
      progress(data) {
        progress.max = data.rows;
        progress.value = data.scored + data.failed;
        said.textContent = `${data.scored.toLocaleString("en")} of ${data.rows.toLocaleString("en")} rows`;
        draw(data);
      },
      scored(data) {
        const isFirst = !stop.hidden;
        stop.hidden = progress.hidden = true;
        download.hidden = false;
        draw(data);
        said.textContent = summary(data, model);
        warning.textContent = skipped(data);
        warning.hidden = !data.failed;
        table.replaceChildren(...rowsTable(data, model));
        if (isFirst) context.announce(`${data.scored} rows are scored. ${warning.textContent}`);
      },
      failed({ message, offersCommand, status, hasRowAsNames }) {
        end("");
        context.hideRequest();
        const command = offersCommand ? ` From a shell, bijecta score ${request.base} FILE --model ${model.name} --out scores.csv takes files of any size.` : "";
        context.fail(new AskError(`${message.replace(/[.]$/, "")}.${hasRowAsNames ? ` ${AS_NAMES}` : ""}${[400, 422].includes(status) ? expectation(model, message) : ""}${command}`));
      },
      download: ({ blob, name }) => saveFile(blob, name),
    };

    input.addEventListener("change", () => input.files[0] && score(input.files[0]));
    show.addEventListener("change", () => {
      series = show.value;
      state.set({ show: series });
      tell({ do: "view" });
    });
    takeDrops(root, signal, score);
  },
};

/** Files may be dropped onto the panel, too. */
function takeDrops(root, signal, score) {
  root.addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault(), { signal });
  root.addEventListener(
    "drop",
    (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) score(event.dataTransfer.files[0]);
    },
    { signal },
  );
}
