// Work that follows a control: one at a time, and the latest wins.

/**
 * Make a function that starts work, or remembers to start it once more when what goes on has ended.
 * However fast a slider is dragged, one request is on its way, and the last value is answered.
 *
 * @param {(...args: any) => Promise<void>} work is called with the latest arguments
 * @param {(error: Error) => void} onError takes what it throws
 * @param {(isBusy: boolean) => void} onBusy is told of its beginning and of its end
 */
export function latest(work, onError, onBusy = () => {}) {
  let isRunning = false;
  let waiting = null;
  return async (...args) => {
    waiting = args;
    if (isRunning) return;
    isRunning = true;
    onBusy(true);
    try {
      while (waiting) {
        const next = waiting;
        waiting = null;
        try {
          await work(...next);
        } catch (error) {
          onError(error);
        }
      }
    } finally {
      isRunning = false;
      onBusy(false);
    }
  };
}
