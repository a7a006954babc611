// What a screen reader says of a change that is only seen: one line, not for every pixel of a drag.

const QUIET_MS = 700;
let timer = null;

/** Say a text, once nothing else has been said for a moment. */
export function announce(text) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    document.getElementById("announcer").textContent = text;
  }, QUIET_MS);
}
