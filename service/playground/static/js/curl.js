// A request as a line of a shell that asks the same.

/** Text in single quotes, as a POSIX shell reads it. */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {object} request url, method, headers, body; `file` names a body of bytes, `output` the file
 *   for an answer of bytes, `hasKey` whether it is sent with a key, which is not shown
 */
export function curlLine({ url, method, headers, body, file, output, hasKey }) {
  const parts = ["curl", "-s", quoted(url)];
  if (method !== "GET" && body === undefined) parts.push("-X", method);
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (hasKey) parts.push("-H", '"Authorization: Bearer $BIJECTA_API_KEY"');
  if (file) parts.push("--data-binary", quoted(`@${file}`));
  else if (body !== undefined) parts.push("-d", quoted(body));
  if (output) parts.push("-o", quoted(output));
  return parts.join(" ");
}
