// One array in npy format (numpy's NEP 1): the form in which many numbers travel fastest.

const READERS = {
  "<f4": Float32Array,
  "<f8": Float64Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "<u8": BigUint64Array,
  "|b1": Uint8Array,
  "|u1": Uint8Array,
};

/**
 * The array in a body.
 * @param {ArrayBuffer} buffer
 * @returns {{shape: number[], data: ArrayLike<number>}} values in row-major order
 */
export function readNpy(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 10 || bytes[0] !== 0x93 || bytes[6] > 2) throw new Error("the answer is no npy array");
  const view = new DataView(buffer);
  const isFirst = bytes[6] === 1;
  const begin = isFirst ? 10 : 12;
  const start = begin + (isFirst ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(begin, start));
  const descr = /'descr': *'([^']*)'/.exec(header)?.[1];
  const shape = /'shape': *\(([^)]*)\)/.exec(header)?.[1].split(",").filter((side) => side.trim()).map(Number);
  const Reader = READERS[descr];
  if (!Reader || !shape) throw new Error(`the answer is an npy array of ${descr}`);
  const size = shape.reduce((product, side) => product * side, 1);
  const data = new Reader(buffer.slice(start, start + size * Reader.BYTES_PER_ELEMENT));
  return { shape, data: data instanceof BigInt64Array || data instanceof BigUint64Array ? Array.from(data, Number) : data };
}

/**
 * A body of one array.
 * @param {Float32Array | Float64Array} data values in row-major order
 * @param {number[]} shape of it
 */
export function writeNpy(data, shape) {
  const descr = data instanceof Float32Array ? "<f4" : "<f8";
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sides}), }`;
  const padded = `${text}${" ".repeat(63 - ((10 + text.length) % 64))}\n`;
  const bytes = new Uint8Array(10 + padded.length + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + padded.length);
  return bytes;
}
