// Numbers as people type them, and as the server reads them.

/** Of flows, float32: the fewest digits that stand for a number, as the server's CSV has it. */
export const SINGLE = {
  largest: 3.4028234663852886e38,
  words: "3.4e38",
  shortest: (value) => {
    for (const digits of [6, 7, 8]) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === Math.fround(value)) return short;
    }
    return Number(value.toPrecision(9));
  },
};

/** Of typed columns, float64: every digit. */
export const DOUBLE = { largest: Number.MAX_VALUE, words: "1.7e308", shortest: (value) => value };

/**
 * The number that a text is. A minus sign of print, as texts have it that were copied, is one.
 * @param {string} text
 * @param {object} precision `SINGLE` or `DOUBLE`
 * @returns {{value: number | null, fault: string}} null where it is none; then also why, as the end of a sentence
 */
export function readNumber(text, precision) {
  const typed = text.trim();
  const value = typed === "" ? NaN : Number(typed.replaceAll("−", "-"));
  if (Number.isNaN(value)) return { value: null, fault: typed === "" ? "here is nothing" : `“${typed}” is none` };
  if (Math.abs(value) > precision.largest) return { value: null, fault: `“${typed}” is too large: numbers go up to ${precision.words}` };
  return { value, fault: "" };
}
