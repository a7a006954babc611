// The one place that sends requests. They go to this server's public endpoints and nowhere else.

import { curlLine } from "./curl.js";
import { key } from "./key.js";
import { readNpy } from "./npy.js";

export const JSON_TYPE = "application/json";
export const NPY_TYPE = "application/x-npy";
export const CSV_TYPE = "text/csv";

// Characters of a body in a command: a longer one comes from a file, as a shell takes no such argument (128 KiB on Linux).
const MOST_ARGUMENT = 100_000;

/** A request that was not answered; its message is for people. */
export class AskError extends Error {
  /**
   * @param {string} message for people
   * @param {object} problem the problem document (RFC 9457), with `status` and `detail`; empty where
   *   no answer came
   */
  constructor(message, problem = {}) {
    super(message);
    this.name = "AskError";
    this.problem = problem;
    this.status = problem.status ?? 0;
  }
}

/** What to say of a status, before what the server says itself. */
const WORDS = {
  401: "This server wants an API key",
  403: "The key is not for this",
  404: "There is no such model or page",
  413: "That is too much for one request",
  415: "That format is not read here",
  422: "The server cannot answer that",
  429: "The server is busy",
  503: "The server is not ready",
  504: "The answer took too long",
};

/** Whether a request is of one row, or of one path. */
const isOfOne = ({ x, z, rows, start } = {}) => start !== undefined || [x, z, rows].some((all) => all?.length === 1);

/** What the server says of rows, which it counts from 0 and this page from 1; of one row alone a number says nothing. */
function ofThisPage(detail, json) {
  if (!isOfOne(json)) return detail.replace(/\brow (\d+)/, (_, row) => `row ${Number(row) + 1}`);
  return detail
    .replace(/^(?:x|z|rows): (?=row 0)/, "")
    .replace(/\brow 0, /, "")
    .replace(/\brow 0\b/, "this row")
    .replace(/\[0\]\[(\d+)\] is/, (_, place) => `number ${Number(place) + 1} is`);
}

function readable(problem, response, json) {
  const words = WORDS[problem.status] ?? `The server answered ${problem.status}`;
  const wait = response.headers.get("Retry-After");
  const detail = ofThisPage(problem.detail ?? problem.reason ?? "", json);
  return `${words}${detail ? `: ${detail}` : ""}.${wait ? ` Try again in ${wait} s.` : ""}`;
}

async function problemOf(response) {
  try {
    const document = await response.json();
    return { ...document, status: document.status ?? response.status };
  } catch {
    return { status: response.status, detail: response.statusText };
  }
}

/** The address of an endpoint with a query; fields that are undefined are left out. */
function addressOf(path, query) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

/**
 * A request as a command: the same question, answered as text that can be read.
 *
 * @param {string} path of an endpoint, relative to the page
 * @param {object} options as of `ask`; `file` without `body` is a file of the user's. `note` is said beside the command.
 * @returns {{line: string, note: string, body: Blob | string | undefined, file: string | undefined}} the command, and the
 *   body and name of a file that it reads, where the page has that
 */
export function described(path, { json, shown, body, type, file, method, query = {}, accept = JSON_TYPE, note = "" }) {
  let text = json === undefined ? undefined : JSON.stringify({ ...json, ...shown });
  if (text?.length > MOST_ARGUMENT) {
    [body, file, text] = [text, `${path}.json`, undefined];
  }
  const hasBody = text !== undefined || file !== undefined;
  const headers = hasBody ? { "Content-Type": json === undefined ? type : JSON_TYPE } : {};
  const wanted = accept === NPY_TYPE ? JSON_TYPE : accept;
  // a body of another format is answered in its own
  if (wanted !== JSON_TYPE || (hasBody && json === undefined)) headers.Accept = wanted;
  if (file) note = `${note} The command reads the file ${file} in the folder where it runs${body === undefined ? "" : ": save it there by the link below"}.`.trim();
  const line = curlLine({ url: addressOf(path, query), method: method ?? (hasBody ? "POST" : "GET"), headers, body: text, file, hasKey: Boolean(key()) });
  return { line, note, body, file };
}

/**
 * Ask the server.
 *
 * @param {string} path of an endpoint, relative to the page: `log_prob`, `models/NAME`
 * @param {object} options
 *   - `json`: an object for the body; `shown`: more fields of it in the command alone; of one row with `partial`, which has no
 *     answer, the server answers 200, so that no error stands on the console: it is an `AskError` all the same; or
 *   - `body`: bytes or a Blob, with `type`, its media type, and `file`, its name in the command
 *   - `method`: POST where there is a body, else GET
 *   - `query`: fields of the query string; undefined ones are left out
 *   - `accept`: media type of the answer (JSON)
 *   - `quiet`: not to be shown as a command, as another request of the panel says more
 *   - `signal`: ends the request
 *   - `onRequest(request)`: is told of it before it is sent; `request()` is as `described` has it
 * @returns {Promise<object>} `json`, `array` ({shape, data}, of npy) or `blob`, by the answer's type;
 *   `headers`, and `ms`, the time it took
 * @throws {AskError} it was refused, or nobody answers
 */
export async function ask(path, { quiet = false, signal, onRequest, ...request } = {}) {
  const { json, body, type, method, query = {}, accept = JSON_TYPE } = request;
  const headers = {};
  let content = body;
  if (json !== undefined) content = JSON.stringify(json);
  if (content !== undefined) headers["Content-Type"] = json !== undefined ? JSON_TYPE : type;
  if (accept !== JSON_TYPE) headers.Accept = accept;
  if (!quiet) onRequest?.(() => described(path, request));
  const began = performance.now();
  let response;
  try {
    const sent = key() ? { ...headers, Authorization: `Bearer ${key()}` } : headers;
    const verb = method ?? (content === undefined ? "GET" : "POST");
    response = await fetch(addressOf(path, query), { method: verb, headers: sent, body: content, signal, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AskError("The server does not answer: it may have stopped, or the connection is gone.");
  }
  const refused = (problem) => new AskError(readable(problem, response, json), problem);
  if (!response.ok) {
    const problem = await problemOf(response);
    if (problem.status === 401) document.dispatchEvent(new CustomEvent("key-wanted"));
    throw refused(problem);
  }
  const answer = { headers: response.headers, status: response.status };
  const kind = (response.headers.get("Content-Type") ?? "").split(";")[0];
  if (kind === JSON_TYPE) answer.json = await response.json();
  else if (kind === NPY_TYPE) answer.array = readNpy(await response.arrayBuffer());
  else answer.blob = await response.blob();
  if (answer.json?.errors && isOfOne(json)) throw refused({ ...answer.json.errors[0], status: 422 });
  answer.ms = performance.now() - began;
  return answer;
}
