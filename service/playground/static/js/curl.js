// A request as a line of a shell that asks the same.

/** Text in single quotes, as a POSIX shell reads it. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {object} request url, method, headers, body; `file` names a file for the body, `hasKey` says whether it is
 *   sent with a key, which is not shown
 */
export function curlLine({ url, method, headers, body, file, hasKey }) {
  const parts = ["curl", "-s", quoted(url)];
  if (method !== "GET" && body === undefined && !file) parts.push("-X", method);
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (hasKey) parts.push("-H", '"Authorization: Bearer $BIJECTA_API_KEY"');
  // by the shell, which names a file that is not there: curl would send nothing in its place, and not say so
  if (file) parts.push("--data-binary", "@-", "<", quoted(file));
  else if (body !== undefined) parts.push("-d", quoted(body));
  return parts.join(" ");
}
