// What is said to the user of a file that cannot be scored.

/** A file that this page does not read, or a server that refuses it. */
export class UnreadableFile extends Error {
  /**
   * @param {string} message for people: what was expected and what came.
   * @param {{offersCommand?: boolean}} options whether `bijecta score` could do it.
   */
  constructor(message, { offersCommand = false } = {}) {
    super(message);
    this.offersCommand = offersCommand;
  }
}
