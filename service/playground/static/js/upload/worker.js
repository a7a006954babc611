// Reads a file and has it scored, away from the page, which goes on meanwhile. It is told `score`, then `view` as
// often as something else is to be shown, `download` and `stop`, and answers with messages of the same `job`.

import { UnreadableFile } from "./errors.js";
import { openFile } from "./files.js";
import { Scorer } from "./scorer.js";
import { histogram, rowsBeyond, scoredFile, seriesOf } from "./view.js";

// Between two pictures of scores that come.
const PICTURE_MS = 400;

let current = null;

onmessage = ({ data }) => {
  const handlers = { score, stop, view, download };
  handlers[data.do](data).catch((error) => fail(data.job, error));
};

async function score({ job, file, request, alpha, series }) {
  await stop();
  const ended = new AbortController();
  current = { job, ended, alpha, series, began: performance.now(), shown: 0 };
  const mine = current;
  try {
    mine.source = await openFile(file, () => bodyBytes(request));
    const scorer = new Scorer(mine.source, request, ended.signal);
    postMessage({ job, is: "started", type: mine.source.constructor.mediaType, query: scorer.query });
    await scorer.run((columns) => {
      mine.columns = columns;
      if (mine === current && performance.now() - mine.shown > PICTURE_MS) show(mine, false);
    });
  } catch (error) {
    ended.abort(); // of the other pieces
    throw error;
  }
  mine.columns.rankWhereUncalibrated();
  mine.seconds = (performance.now() - mine.began) / 1000;
  if (mine === current) await show(mine, true);
}

// Bytes of the largest body that the server takes, where it says so.
async function bodyBytes({ base, headers }) {
  const response = await fetch(`${base}metrics`, { headers });
  const said = response.ok && /^bijecta_body_limit_bytes (\S+)$/m.exec(await response.text());
  return said ? Number(said[1]) : Infinity;
}

async function stop() {
  current?.ended.abort();
  current = null;
}

// Show what is there by another level, or of other numbers.
async function view({ job, alpha, series }) {
  if (current?.job !== job || !current.columns) return;
  Object.assign(current, { alpha, series });
  await show(current, current.seconds !== undefined);
}

async function show(mine, isWhole) {
  const { columns, source, job, alpha } = mine;
  mine.shown = performance.now();
  const kinds = seriesOf(columns);
  const series = kinds.includes(mine.series) ? mine.series : kinds[0];
  const picture = { ...histogram(columns, series, alpha), series };
  const beyond = isWhole && columns.tail ? await rowsBeyond(source, columns, alpha) : [];
  postMessage({
    job,
    is: isWhole ? "scored" : "progress",
    alpha,
    kinds,
    picture,
    beyond,
    isDetector: columns.score !== null,
    isRankedWithin: columns.isRankedWithin,
    names: source.names,
    rows: source.rows,
    scored: columns.done,
    failed: columns.failed,
    failures: columns.failures,
    unfamiliar: [...columns.unfamiliar.values()].slice(0, 5),
    seconds: mine.seconds ?? (performance.now() - mine.began) / 1000,
    hasRowAsNames: hasRowAsNames(source.names),
  });
}

async function download({ job, alpha }) {
  if (current?.job !== job || current.seconds === undefined) return;
  postMessage({ job, is: "download", blob: await scoredFile(current.source, current.columns, alpha), name: `${current.source.file.name.replace(/\.\w+$/, "")}.scored.csv` });
}

// Whether numbers stand where the names of columns are: then that line is likely a row. Names that number the columns are none.
function hasRowAsNames(names) {
  const isNumbered = [...names].sort((a, b) => a - b).every((name, i) => name === String(i));
  return !isNumbered && names.some((name) => name !== "" && Number.isFinite(Number(name)));
}

function fail(job, error) {
  if (error.name === "AbortError") return;
  const isExpected = error instanceof UnreadableFile;
  if (!isExpected) console.error(error);
  postMessage({
    job,
    is: "failed",
    message: isExpected ? error.message : `This page cannot go on: ${error.message}`,
    status: error.status,
    offersCommand: isExpected && error.offersCommand,
    hasRowAsNames: hasRowAsNames(current?.source?.names ?? []),
  });
}
