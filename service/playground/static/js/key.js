// The API key, where the server wants one: kept in this tab alone, never in the address.

const NAME = "bijecta.key";
let memory = "";

/** The key; empty where there is none. */
export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? memory;
  } catch {
    return memory; // a browser may forbid storage
  }
}

/** Keep a key until the tab is closed. */
export function keepKey(value) {
  memory = value;
  try {
    if (value) sessionStorage.setItem(NAME, value);
    else sessionStorage.removeItem(NAME);
  } catch {
    // it is in memory
  }
}
