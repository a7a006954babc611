// The one place that sends requests. They go to this server's public endpoints and nowhere else.

import { curlLine } from "./curl.js";
import { key } from "./key.js";
import { readNpy } from "./npy.js";

export const JSON_TYPE = "application/json";
export const NPY_TYPE = "application/x-npy";

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

function readable(problem, response) {
  const words = WORDS[problem.status] ?? `The server answered ${problem.status}`;
  const wait = response.headers.get("Retry-After");
  const detail = problem.detail ?? problem.reason ?? "";
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

/**
 * A request as `onRequest` is told of it; its body, which a worker sends, is the file of that name.
 *
 * @param {string} path of an endpoint, relative to the page
 * @param {object} options `query`, `type` and `file` as of `ask`
 */
export function described(path, { query = {}, type, file }) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return { line: curlLine({ url: url.href, method: "POST", headers: { "Content-Type": type }, file, hasKey: Boolean(key()) }) };
}

/**
 * Ask the server.
 *
 * @param {string} path of an endpoint, relative to the page: `log_prob`, `models/NAME`
 * @param {object} options
 *   - `json`: an object for the body; or
 *   - `body`: bytes or a Blob, with `type`, its media type, and `file`, its name in the curl line
 *   - `method`: POST where there is a body, else GET
 *   - `query`: fields of the query string; undefined ones are left out
 *   - `accept`: media type of the answer (JSON)
 *   - `signal`: ends the request
 *   - `onRequest({line, body, file})`: is told the curl line before the request is sent
 * @returns {Promise<object>} `json`, `array` ({shape, data}, of npy) or `blob`, by the answer's type;
 *   `headers`, and `ms`, the time it took
 * @throws {AskError} it was refused, or nobody answers
 */
export async function ask(path, { json, body, type, file, method, query = {}, accept = JSON_TYPE, signal, onRequest } = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  const headers = {};
  let content = body;
  if (json !== undefined) content = JSON.stringify(json);
  if (content !== undefined) headers["Content-Type"] = json !== undefined ? JSON_TYPE : type;
  if (accept !== JSON_TYPE) headers.Accept = accept;
  const verb = method ?? (content === undefined ? "GET" : "POST");
  const shown = {
    url: url.href,
    method: verb,
    headers,
    body: json !== undefined ? content : undefined,
    file: json === undefined && content !== undefined ? file ?? "body" : undefined,
    output: accept === NPY_TYPE ? "answer.npy" : undefined,
    hasKey: Boolean(key()),
  };
  onRequest?.({ line: curlLine(shown), body: shown.file ? content : undefined, file: shown.file });
  const began = performance.now();
  let response;
  try {
    const sent = key() ? { ...headers, Authorization: `Bearer ${key()}` } : headers;
    response = await fetch(url, { method: verb, headers: sent, body: content, signal, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AskError("The server does not answer: it may have stopped, or the connection is gone.");
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (problem.status === 401) document.dispatchEvent(new CustomEvent("key-wanted"));
    throw new AskError(readable(problem, response), problem);
  }
  const answer = { headers: response.headers, status: response.status };
  const kind = (response.headers.get("Content-Type") ?? "").split(";")[0];
  if (kind === JSON_TYPE) answer.json = await response.json();
  else if (kind === NPY_TYPE) answer.array = readNpy(await response.arrayBuffer());
  else answer.blob = await response.blob();
  answer.ms = performance.now() - began;
  return answer;
}
