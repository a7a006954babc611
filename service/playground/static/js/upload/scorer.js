// Scores of a file's rows: asked of the server in pieces, a few at a time, and kept as columns.

import { UnreadableFile } from "./errors.js";

// Requests at a time: one is read while the next ones wait, and others have their turns between.
const AT_ONCE = 3;

// Rows of the first piece: a file that does not fit the model is refused after a moment.
const FIRST_ROWS = 256;

// How often a piece is sent again to a server that is busy, or was not reached.
const RETRIES = 30;
const RETRIES_UNREACHED = 3;

const TOO_LARGE = 413;
const BUSY = new Set([429, 503]);

// Rows without an answer of which the reason is kept.
const MOST_DESCRIBED = 5;

/** What is known of a row. */
export const AWAITED = 0;
export const SCORED = 1;
export const FAILED = 2;

/** The answers to the rows of a file. */
export class Columns {
  /** @param {number} rows how many. */
  constructor(rows) {
    this.state = new Uint8Array(rows);
    this.logProb = new Float64Array(rows).fill(NaN);
    this.score = null;
    /** Of each row the share of normal rows that are as unusual: p-value, or quantile. */
    this.tail = null;
    this.done = 0;
    this.failed = 0;
    this.failures = [];
    /** Values that the training data had not, each with its column, how many rows have it and the first of them. */
    this.unfamiliar = new Map();
    /** By column, of which rows the server names such a value: 1. */
    this.marked = new Map();
    /** Whether `tail` compares rows with those of the file, as the bundle has no others. */
    this.isRankedWithin = false;
  }

  /** Where the model knows no other rows, give each row its place among those of the file. */
  rankWhereUncalibrated() {
    if (this.tail) return;
    const rows = Array.from(this.state.keys()).filter((row) => this.state[row] === SCORED);
    rows.sort((a, b) => this.logProb[a] - this.logProb[b]);
    this.tail = new Float64Array(this.state.length).fill(NaN);
    rows.forEach((row, place) => (this.tail[row] = (place + 1) / rows.length));
    this.isRankedWithin = true;
  }
}

/** A value of a column as a key. */
export const valueName = (column, value) => JSON.stringify([column, value]);

/** Asks for the scores of one file. */
export class Scorer {
  /**
   * @param {object} source the file: see csv.js, npy.js and files.js.
   * @param {{base: string, path: string, query: Record<string, string>,
   *   headers: Record<string, string>, conditionLine: string | null, conditions: string[]}}
   *   request of a piece, but for its body; the context that was chosen, and names of its columns.
   * @param {AbortSignal} signal that ends it.
   */
  constructor(source, request, signal) {
    this.source = source;
    this.request = request;
    this.signal = signal;
    this.query = { ...request.query, partial: "true" };
    // the page's context, where the file has none; of Parquet the columns are not known
    const names = ["context", ...request.conditions];
    if (request.conditionLine && source.canBeCut && !names.some((name) => source.names.includes(name))) {
      this.query.context = request.conditionLine;
    }
    this.pieceRows = source.canBeCut ? source.pieceRows : Infinity;
    this.columns = null;
  }

  /**
   * Score all rows.
   *
   * @param {(columns: Columns) => void} onProgress called after each piece.
   * @throws {UnreadableFile} the server refuses a piece.
   */
  async run(onProgress) {
    const { source } = this;
    await this.scoreFirst(source.canBeCut ? Math.min(FIRST_ROWS, source.rows, this.pieceRows) : 0);
    onProgress(this.columns);
    let next = this.columns.done + this.columns.failed;
    const work = async () => {
      while (next < source.rows) {
        const from = next;
        next = Math.min(source.rows, from + this.pieceRows);
        await this.scorePiece(from, next);
        onProgress(this.columns);
      }
    };
    if (source.canBeCut) await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** Score the first rows, which say what the answers have, and whether the file is as it seems. */
  async scoreFirst(count) {
    const { source } = this;
    // of a file with a remark the one line may be a row
    if (source.canBeCut && count < 1 && !source.comment) throw noRows(source);
    let answer;
    while (!answer) {
      try {
        answer = await this.ask(0, count);
      } catch (error) {
        if (error.status !== TOO_LARGE || count < 2) throw error;
        this.pieceRows = count = Math.floor(count / 2);
      }
    }
    const answered = answer.log_prob.length;
    if (!source.canBeCut) {
      source.rows = answered;
      count = answered;
    } else if (answered === count + 1 && source.comment) {
      source.takeHeaderFromComment();
      count = Math.max(1, count);
      answer = await this.ask(0, count);
    }
    if (source.rows < 1) throw noRows(source);
    // whatever a name comes to mean, all rows are scored by one version
    this.query.version = String(answer.version);
    this.columns = new Columns(source.rows);
    this.fill(0, count, answer);
  }

  /** Score the rows `from` to `to`, in smaller pieces where the server takes no more. */
  async scorePiece(from, to) {
    let at = from;
    while (at < to) {
      const end = Math.min(to, at + this.pieceRows);
      try {
        this.fill(at, end, await this.ask(at, end));
        at = end;
      } catch (error) {
        if (error.status !== TOO_LARGE || end - at < 2) throw error;
        this.pieceRows = Math.min(this.pieceRows, Math.floor((end - at) / 2));
      }
    }
  }

  /** Write an answer into the columns. */
  fill(from, to, answer) {
    const { columns, source } = this;
    if (answer.log_prob.length !== to - from) {
      throw new UnreadableFile(
        `${source.file.name}: the server reads ${answer.log_prob.length} rows where this page ` +
          `counts ${to - from}`,
        { offersCommand: true },
      );
    }
    const failed = new Set((answer.errors ?? []).map((error) => error.row));
    const outside = new Set(answer.outside_support ?? []);
    const tails = answer.p_value ?? answer.quantile;
    if (answer.score) columns.score ??= new Float64Array(source.rows).fill(NaN);
    if (tails) columns.tail ??= new Float64Array(source.rows).fill(NaN);
    for (let i = 0; i < to - from; i++) {
      const row = from + i;
      const isFailed = failed.has(i) || (answer.log_prob[i] === null && !outside.has(i));
      columns.state[row] = isFailed ? FAILED : SCORED;
      if (isFailed) {
        columns.failed++;
        continue;
      }
      columns.done++;
      columns.logProb[row] = answer.log_prob[i] ?? -Infinity;
      if (answer.score) columns.score[row] = answer.score[i] ?? Infinity;
      if (tails) columns.tail[row] = tails[i] ?? 0;
    }
    for (const error of answer.errors ?? []) {
      if (columns.failures.length >= MOST_DESCRIBED) break;
      columns.failures.push(`${source.place(from + error.row)}: ${withoutPlace(error.detail)}`);
    }
    this.noteUnfamiliar(from, answer);
  }

  /** Remember values that the training data had not, and the rows that the server names: the first 1,000 of each. */
  noteUnfamiliar(from, answer) {
    const { unfamiliar, marked } = this.columns;
    const said = [
      ...(answer.unknown_classes ?? []).map((each) => ({ ...each, expected: undefined })),
      ...(answer.changed_constants ?? []),
    ];
    for (const { column, value, expected, rows, row_count: count } of said) {
      const name = valueName(column, value);
      const known = unfamiliar.get(name) ?? { column, value, expected, count: 0, first: Infinity };
      known.count += count;
      known.first = Math.min(known.first, from + rows[0]); // pieces come in any order
      unfamiliar.set(name, known);
      if (!marked.has(column)) marked.set(column, new Uint8Array(this.source.rows));
      for (const row of rows) marked.get(column)[from + row] = 1;
    }
  }

  /**
   * The answer to some rows; asks again while the server is busy.
   *
   * @throws {UnreadableFile} the server refuses them.
   */
  async ask(from, to) {
    const { base, path, headers } = this.request;
    const url = `${base}${path}?${new URLSearchParams(this.query)}`;
    for (let tried = 0; ; tried++) {
      let response;
      try {
        response = await fetch(url, {
          method: "POST",
          headers: { ...headers, "Content-Type": this.source.constructor.mediaType, Accept: "application/json" },
          body: this.source.piece(from, to),
          signal: this.signal,
        });
      } catch (error) {
        if (this.signal.aborted) throw error;
        if (tried >= RETRIES_UNREACHED) {
          throw new UnreadableFile(
            "The server broke off the connection, or is not there any more; or the file has " +
              "changed since it was chosen",
          );
        }
        await this.pause(1);
        continue;
      }
      if (response.ok) return response.json();
      if (!BUSY.has(response.status) || tried >= RETRIES) throw await this.refusal(response, from);
      await this.pause(Number(response.headers.get("Retry-After") ?? 1));
    }
  }

  /** What the server says of a piece, with the numbers that rows have in the file. */
  async refusal(response, from) {
    let problem = {};
    try {
      problem = await response.json();
    } catch {
      // a proxy's own page
    }
    const detail = problem.detail ?? `${response.status} ${response.statusText}`;
    const error = new UnreadableFile(
      `${this.source.file.name}: ${this.inFile(detail, from)}`,
      { offersCommand: response.status === TOO_LARGE },
    );
    error.status = response.status;
    error.requestId = problem.request_id;
    return error;
  }

  /** A text about rows of a piece, counted from 0, as one about rows of the file, counted from 1. */
  inFile(detail, from) {
    const fromOne = (numbers, first) => numbers.match(/\d+/g).map((number) => first + Number(number) + 1).join(", ");
    return detail
      .replace(/\brow (\d+)(?: \(line \d+\))?/, (_, row) => this.source.place(from + Number(row)))
      .replace(/( such rows: )(\d+(?:, \d+)*)/, (_, words, rows) => words + fromOne(rows, from))
      .replace(/\[(\d+)\]((?:\[\d+\])*) is/, (_, row, within) =>
        `${this.source.place(from + Number(row))}${within && `, value ${fromOne(within, 0)}`} is`);
  }

  /** Wait, unless it is ended. */
  pause(seconds) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 1000 * Math.min(10, Math.max(0.1, seconds || 1)));
      this.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(this.signal.reason);
      });
    });
  }
}

function noRows(source) {
  return new UnreadableFile(`${source.file.name} has no rows: expected ${source.constructor.rowsAre}`);
}

// What is wrong with a row, without where it is.
function withoutPlace(detail) {
  const said = detail.replace(/^(context: )?(?:x: )?row \d+(?: \(line \d+\))?[:,]?\s*/, "$1");
  return said.replace(/^column (\d+) /, (_, column) => `value ${Number(column) + 1} `); // counted from 1, as rows are
}
