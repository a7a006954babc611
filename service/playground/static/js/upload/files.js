// What a chosen file is, by its first bytes, and whether this page scores it.

import { CsvFile } from "./csv.js";
import { UnreadableFile } from "./errors.js";
import { NpyFile } from "./npy.js";

// Larger files are not read: their scores would take the memory of the page.
const MOST_BYTES = 256 * 2 ** 20;

/** A Parquet file, which is sent whole: its rows are in no order that could be cut. */
class ParquetFile {
  static mediaType = "application/vnd.apache.parquet";
  static rowsAre = "a table of one row and more";

  constructor(file) {
    this.file = file;
    this.canBeCut = false;
    this.names = [];
    this.rows = 0;
  }

  piece() {
    return this.file;
  }

  place(row) {
    return `row ${row + 1}`;
  }

  async cells() {
    return [];
  }
}

const KINDS = [
  { begins: "\x93NUMPY", ends: /[.]npy$/i, open: (file) => NpyFile.open(file), name: "npy array, as numpy.save writes it" },
  { begins: "PAR1", ends: /[.](?:parquet|pq)$/i, open: async (file) => new ParquetFile(file), name: "Parquet file" },
  { begins: "PK\x03\x04", is: "a zip archive, as .npz and .xlsx are: take one array or table out of it" },
  { begins: "\x1f\x8b", is: "compressed by gzip: unpack it first" },
  { begins: "\x28\xb5\x2f\xfd", is: "compressed by zstd: unpack it first" },
  { begins: "ARROW1", is: "an Arrow file" },
  { begins: "%PDF", is: "a PDF" },
  { begins: "\x89PNG", is: "a picture: save its pixels by numpy.save" },
  { begins: "\xff\xd8\xff", is: "a picture: save its pixels by numpy.save" },
];

/**
 * Open a file.
 *
 * @param {File} file chosen by the user.
 * @param {() => Promise<number>} bodyBytes most bytes of a request; Infinity where that is not known.
 * @throws {UnreadableFile} it is none that the page scores.
 */
export async function openFile(file, bodyBytes) {
  if (file.size === 0) throw new UnreadableFile(`${file.name} is empty`);
  if (file.size > MOST_BYTES) throw tooLarge(file, "this page scores files of", MOST_BYTES);
  let first;
  try {
    first = await file.slice(0, 16).arrayBuffer();
  } catch {
    throw new UnreadableFile(`${file.name} cannot be read: is it a folder, or gone?`);
  }
  const text = String.fromCharCode(...new Uint8Array(first));
  const kind = KINDS.find(({ begins }) => text.startsWith(begins));
  if (kind?.is) {
    throw new UnreadableFile(
      `${file.name} is ${kind.is}. Expected CSV with a line of names, .npy or Parquet`,
    );
  }
  const named = KINDS.find(({ ends }) => ends?.test(file.name));
  if (named && !kind) throw new UnreadableFile(`${file.name} is no ${named.name}: it does not begin as one, so that it may be damaged, or another file`);
  const opened = kind ? await kind.open(file) : await CsvFile.open(file);
  if (!opened.canBeCut) {
    const most = await bodyBytes();
    if (file.size > most) throw tooLarge(file, "the server takes whole files of", most);
  }
  return opened;
}

function tooLarge(file, limits, bytes) {
  return new UnreadableFile(
    `${file.name} has ${size(file.size)}, and ${limits} up to ${size(bytes)}`,
    { offersCommand: true },
  );
}

/** Bytes for people. */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${Number((bytes / 2 ** (10 * power)).toPrecision(3))} ${units[power]}`;
}
