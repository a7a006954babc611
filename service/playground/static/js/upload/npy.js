// Arrays in npy format (numpy's NEP 1) as pieces: some rows, behind a header that says so.

import { MOST_ROWS, PIECE_ROWS } from "./csv.js";
import { UnreadableFile } from "./errors.js";

const PIECE_BYTES = 4 * 2 ** 20;

// Numbers of a row that the page looks at.
const SHOWN = 100;

const READERS = {
  f4: "getFloat32", f8: "getFloat64",
  i1: "getInt8", i2: "getInt16", i4: "getInt32", i8: "getBigInt64",
  u1: "getUint8", u2: "getUint16", u4: "getUint32", u8: "getBigUint64",
};

/** An npy file whose header has been read. */
export class NpyFile {
  static mediaType = "application/x-npy";
  static rowsAre = "an array of one row and more along its first axis";

  /** @param {File} file chosen by the user, which begins as npy does. */
  static async open(file) {
    const prefix = new DataView(await file.slice(0, 12).arrayBuffer());
    const isFirst = prefix.byteLength > 9 && prefix.getUint8(6) === 1;
    if (prefix.byteLength < 12) throw new UnreadableFile(`${file.name} is no whole npy array`);
    const start = isFirst ? 10 + prefix.getUint16(8, true) : 12 + prefix.getUint32(8, true);
    const header = await file.slice(isFirst ? 10 : 12, Math.min(start, 2 ** 16)).text();
    const shape = /["']shape["']\s*:\s*\(([^)]*)\)/.exec(header)?.[1] ?? "";
    return new NpyFile(file, start, {
      type: /["']descr["']\s*:\s*["']([^"']*)["']/.exec(header)?.[1] ?? "",
      isColumnFirst: /["']fortran_order["']\s*:\s*True/.test(header),
      shape: shape.split(",").filter((side) => side.trim()).map(Number),
    });
  }

  constructor(file, start, { type, isColumnFirst, shape }) {
    this.file = file;
    this.start = start;
    this.type = type;
    this.shape = shape;
    this.names = [];
    this.rows = shape[0] ?? 1;
    const width = shape.slice(1).reduce((product, side) => product * side, 1);
    const bytes = /^[<>|=]?[iuf]([1248])$/.exec(type)?.[1];
    this.rowBytes = width * Number(bytes ?? 0);
    // others go as they are: the server says what is wrong with them
    this.canBeCut =
      this.rowBytes > 0 && shape.length > 0 && !(isColumnFirst && shape.length > 1) &&
      file.size === start + this.rows * this.rowBytes;
    if (this.canBeCut && this.rows > MOST_ROWS) {
      throw new UnreadableFile(
        `${file.name} has more than ${MOST_ROWS.toLocaleString("en")} rows, which this page ` +
          "cannot hold",
        { offersCommand: true },
      );
    }
  }

  /** How many rows a piece should have. */
  get pieceRows() {
    return Math.max(1, Math.min(PIECE_ROWS, Math.floor(PIECE_BYTES / this.rowBytes)));
  }

  /** A body of the rows `from` to `to`, as a file of its own. */
  piece(from, to) {
    if (!this.canBeCut) return this.file;
    const rows = this.file.slice(this.start + from * this.rowBytes, this.start + to * this.rowBytes);
    return new Blob([npyHeader(this.type, [to - from, ...this.shape.slice(1)]), rows]);
  }

  /** Where a row stands, as people count. */
  place(row) {
    return `row ${row + 1}`;
  }

  /** The first numbers of a row. */
  async cells(row) {
    const read = READERS[this.type.replace(/^[<>|=]/, "")];
    if (!this.canBeCut || !read) return [];
    const at = this.start + row * this.rowBytes;
    const view = new DataView(await this.file.slice(at, at + this.rowBytes).arrayBuffer());
    const size = Number(this.type.slice(-1));
    const count = Math.min(SHOWN, view.byteLength / size);
    const isLittle = !this.type.startsWith(">");
    // of float32 the digits that it has
    const shown = (value) => String(read === "getFloat32" ? Number(value.toPrecision(7)) : value);
    return Array.from({ length: count }, (_, i) => shown(view[read](i * size, isLittle)));
  }
}

/** The bytes before the values of an array. */
export function npyHeader(type, shape) {
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${sides}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = new Uint8Array(length).fill(32);
  bytes.set([0x93, 78, 85, 77, 80, 89, 1, 0, (length - 10) & 0xff, (length - 10) >> 8]);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes[length - 1] = 10;
  return bytes;
}
