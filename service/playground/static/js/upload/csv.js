// CSV files as pieces that a server takes one by one: cut at the ends of records, each with the
// file's own header before it. No cell is read here but those that the page shows.

import { UnreadableFile } from "./errors.js";

const QUOTE = 34;
const NEWLINE = 10;
const RETURN = 13;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

// Bytes that are looked through in one go.
const CHUNK = 2 ** 20;

// A server reads no longer lines: a file that has one is no CSV.
const MOST_RECORD_BYTES = 2 ** 20;

/** Rows whose scores are held in memory. */
export const MOST_ROWS = 2_000_000;

// Cells and bytes of a piece, below the limits of a server that has the default ones.
const PIECE_CELLS = 400_000;
const PIECE_BYTES = 4 * 2 ** 20;
export const PIECE_ROWS = 8192;

// What stands before the header, as the server has it (service/tables/preamble.py).
const COMMENT = /^#(?!\s*[,;|\t])/;
const SEPARATOR = /^"?sep=([,;|\t]?)"?[ \r\n]*$/i;

/** Numbers in an array that grows. */
class Numbers {
  constructor(Kind) {
    this.values = new Kind(2 ** 12);
    this.count = 0;
  }

  push(value) {
    if (this.count === this.values.length) {
      const longer = new this.values.constructor(2 * this.count);
      longer.set(this.values);
      this.values = longer;
    }
    this.values[this.count++] = value;
  }
}

/**
 * Where the records of a file begin: all lines but empty ones, and lines in quotes with the record
 * that they are of.
 *
 * @param {Blob} file to be looked through.
 * @param {number} delimiter of cells, as a byte: quotes have a meaning behind it alone.
 * @returns {Promise<{starts: Float64Array, lines: Uint32Array, count: number}>} offsets in bytes,
 *   and the numbers of lines from 1.
 */
export async function scan(file, delimiter) {
  const starts = new Numbers(Float64Array);
  const lines = new Numbers(Uint32Array);
  let isQuoted = false;
  let isEmpty = true;
  let previous = 0;
  let line = 1;
  let start = 0;
  let startLine = 1;
  for (let base = 0; base < file.size; base += CHUNK) {
    const bytes = new Uint8Array(await file.slice(base, base + CHUNK).arrayBuffer());
    for (let i = base ? 0 : markLength(bytes); i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === NEWLINE || byte === RETURN) {
        if (byte === RETURN || previous !== RETURN) line++;
        if (!isQuoted) {
          if (!isEmpty) {
            starts.push(start);
            lines.push(startLine);
            if (starts.count > MOST_ROWS) throw tooMany(file);
          }
          start = base + i + 1;
          startLine = line;
          isEmpty = true;
        }
      } else {
        // in quotes it ends them, and two are one that does not
        if (byte === QUOTE) {
          isQuoted = isQuoted ? false : isEmpty || previous === delimiter || previous === QUOTE;
        }
        isEmpty = false;
      }
      previous = byte;
    }
    if (base + bytes.length - start > MOST_RECORD_BYTES) throw noLines(file, startLine);
  }
  if (!isEmpty) {
    starts.push(start);
    lines.push(startLine);
  }
  return { starts: starts.values, lines: lines.values, count: starts.count };
}

function markLength(bytes) {
  return BYTE_ORDER_MARK.every((byte, i) => bytes[i] === byte) ? BYTE_ORDER_MARK.length : 0;
}

function tooMany(file) {
  return new UnreadableFile(
    `${file.name} has more than ${MOST_ROWS.toLocaleString("en")} rows, which this page cannot hold`,
    { offersCommand: true },
  );
}

function noLines(file, line) {
  return new UnreadableFile(
    `${file.name} is no CSV: line ${line} is longer than ${MOST_RECORD_BYTES / 2 ** 20} MiB`,
  );
}

/** The cells of a record's text. */
export function cells(text, delimiter) {
  const found = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      let cell = "";
      let end = text.indexOf('"', at + 1);
      while (end >= 0 && text[end + 1] === '"') {
        cell += text.slice(at + 1, end + 1);
        at = end + 1;
        end = text.indexOf('"', at + 1);
      }
      found.push(cell + text.slice(at + 1, end < 0 ? text.length : end));
      at = end < 0 ? -1 : text.indexOf(delimiter, end + 1);
    } else {
      const end = text.indexOf(delimiter, at);
      found.push(text.slice(at, end < 0 ? text.length : end));
      at = end;
    }
    if (at < 0) return found;
    at += delimiter.length;
  }
}

/** A text as a cell, in quotes where it has to be. */
export function quoted(text, delimiter) {
  return /["\r\n]/.test(text) || text.includes(delimiter) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A CSV file whose records have been found. */
export class CsvFile {
  static mediaType = "text/csv";
  static rowsAre = "a line of names, and rows below it";

  /** @param {File} file chosen by the user. */
  static async open(file) {
    const first = await file.slice(0, 64).text();
    const named = SEPARATOR.exec(first.split(/\r|\n/, 1)[0].replace("\ufeff", ""));
    const delimiter = named?.[1] || ",";
    const records = await scan(file, delimiter.charCodeAt(0));
    const opened = new CsvFile(file, delimiter, records);
    await opened.findHeader();
    return opened;
  }

  constructor(file, delimiter, records) {
    this.file = file;
    this.delimiter = delimiter;
    this.records = records;
    this.canBeCut = true;
  }

  /** Find the header: the first record that is no remark; rows begin behind it. */
  async findHeader() {
    const { count } = this.records;
    let at = 0;
    let comment = null;
    while (at < count) {
      const text = await this.text(at);
      if (COMMENT.test(text)) comment = text;
      else if (at > 0 || !SEPARATOR.test(text)) break;
      at++;
    }
    if (at === count) throw new UnreadableFile(`${this.file.name} has no line of names, and no rows`);
    this.comment = comment;
    this.head = at;
    this.names = cells(await this.text(at), this.delimiter).map((name) => name.trim());
    this.firstRow = at + 1;
  }

  /** The last remark was the header, and what seemed to be one is the first row. */
  async takeHeaderFromComment() {
    this.names = cells(this.comment.replace(/^#+/, "").trim(), this.delimiter);
    this.names = this.names.map((name) => name.trim());
    this.firstRow = this.head;
  }

  /** How many rows there are. */
  get rows() {
    return this.records.count - this.firstRow;
  }

  /** How many rows a piece should have. */
  get pieceRows() {
    const bytes = this.file.size / Math.max(1, this.records.count);
    const most = Math.min(PIECE_ROWS, PIECE_CELLS / (this.names.length + 1), PIECE_BYTES / bytes);
    return Math.max(1, Math.floor(most));
  }

  /** A body of the rows `from` to `to`, as a file of its own. */
  piece(from, to) {
    const header = this.file.slice(0, this.offset(this.firstRow));
    const rows = this.file.slice(this.offset(this.firstRow + from), this.offset(this.firstRow + to));
    return new Blob([header, rows]);
  }

  /** Where a row stands, as people count. */
  place(row) {
    return `row ${row + 1}, line ${this.records.lines[this.firstRow + row]}`;
  }

  /** The cells of a row. */
  async cells(row) {
    return cells(await this.text(this.firstRow + row), this.delimiter);
  }

  /** Records of the rows `from` to `to` as the file has them, without their ends. */
  async lines(from, to) {
    const first = this.firstRow + from;
    const base = this.offset(first);
    const slice = this.file.slice(base, this.offset(this.firstRow + to));
    const bytes = new Uint8Array(await slice.arrayBuffer());
    const decoder = new TextDecoder();
    return Array.from({ length: to - from }, (_, i) => {
      const end = this.offset(first + i + 1) - base;
      return withoutEnd(decoder.decode(bytes.subarray(this.offset(first + i) - base, end)));
    });
  }

  offset(record) {
    return record < this.records.count ? this.records.starts[record] : this.file.size;
  }

  async text(record) {
    const blob = this.file.slice(this.offset(record), this.offset(record + 1));
    return withoutEnd(await blob.text());
  }
}

// A record without the ends of lines behind it, and without a mark before it.
function withoutEnd(text) {
  return text.replace(/[\r\n]+$/, "").replace(/^\ufeff/, "");
}
