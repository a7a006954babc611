// The samples that are drawn on the page: panels that choose among rows choose among these, by the numbers that they
// have there, and take the one that is clicked on.

export class Drawn {
  /** @param {Array<{key: string, text: string, said: string, panel: object}>} uses what can be done with a sample, see `takes` of a panel */
  constructor(uses) {
    this.uses = uses;
    /** The rows that are drawn now, as `rowsOf` (reference.js) has them; null until there are some. */
    this.rows = null;
    /** Resolves once there are some: whoever needs them waits until the panel that draws them can. */
    this.first = new Promise((resolve) => {
      this.resolve = resolve;
    });
    this.followers = [];
    this.takers = new Map();
  }

  get count() {
    return this.rows.count;
  }

  get data() {
    return this.rows.data;
  }

  row(i) {
    return this.rows.row(i);
  }

  /** Other rows are drawn. */
  show(rows) {
    this.rows = rows;
    this.resolve();
    for (const follower of this.followers) follower();
  }

  /** Call a function whenever other rows are drawn from now on. */
  follow(follower) {
    this.followers.push(follower);
  }

  /**
   * Do something with the samples that are taken for a use.
   * @param {string} use its key
   * @param {(row: Float64Array, i: number) => void} taker
   */
  onTake(use, taker) {
    this.takers.set(use, taker);
  }

  /** Take sample i for a use; false where its panel is not there yet. */
  take(use, i) {
    const taker = this.takers.get(use);
    taker?.(this.row(i), i);
    return taker !== undefined;
  }
}
