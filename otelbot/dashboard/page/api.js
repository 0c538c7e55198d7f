/** Talks to the dashboard's API. */

import { t } from "./texts.js";

/** What went wrong, as one sentence for people; `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("error.unreachable"), 0);
  }
  const text = await answer.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    data = null; // a proxy's own error page
  }
  if (!answer.ok) {
    if (answer.status === 401) throw new ApiError(t("error.token"), 401);
    const said = data?.error?.message ?? data?.error ?? data?.message;
    throw new ApiError(typeof said === "string" ? said : t("error.status", { status: answer.status }), answer.status);
  }
  return data;
}

/**
 * GET `path` with `params`, of which empty ones are left out.
 * @throws {ApiError}
 */
export function get(path, params = {}, signal = undefined) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== false && value !== "")
      search.set(name, String(value === true ? 1 : value));
  }
  const text = search.toString();
  return call(text ? `${path}?${text}` : path, { signal });
}

/** POST or DELETE JSON. */
export function send(method, path, body) {
  return call(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}
