// The public API, as any other client speaks it.

export const base = document.documentElement.dataset.base ?? "";

/** An answer that is no success; `message` is the sentence for people. */
export class Problem extends Error {
  constructor({ status = 0, code = "", title = "", detail = "", errors = [] }) {
    super(detail || title || "Something went wrong.");
    Object.assign(this, { status, code, title: title || "That did not work", errors });
  }
}

const AWAY = {
  code: "no_answer",
  title: "The service does not answer",
  detail: "The service does not answer. Is it running, and is this machine connected?",
};

/**
 * Ask the API; gives the answer's JSON, or null where it has no body.
 *
 * @param {string} path  Below the service's address, such as "/threads".
 * @param {object} [query]  Left out where a value is null, undefined or "".
 * @throws {Problem} Anything but a success.
 */
export async function ask(method, path, options = {}) {
  const answer = await asked(method, path, options);
  const kind = answer.headers.get("content-type") ?? "";
  return kind.includes("json") ? answer.json() : null;
}

export const get = (path, query, options) => ask("GET", path, { query, ...options });
export const post = (path, body, options) => ask("POST", path, { body, ...options });
export const patch = (path, body, options) => ask("PATCH", path, { body, ...options });
export const remove = (path, options) => ask("DELETE", path, options);

/** As `ask`, with the answer itself: for text, files and headers. */
export async function asked(method, path, { body, query, headers = {}, signal } = {}) {
  const sent = { "X-Waystation-Console": "1", ...headers };
  if (body !== undefined && !(body instanceof FormData)) sent["Content-Type"] = "application/json";
  const content = body === undefined || body instanceof FormData ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(address(path, query), { method, headers: sent, body: content, signal, credentials: "same-origin" });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Problem(AWAY);
  }
  if (!answer.ok) throw await problemIn(answer);
  return answer;
}

/** The whole address of a path. */
export function address(path, query = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const words = new URLSearchParams(given.flatMap(([name, value]) => [value].flat().map((each) => [name, each])));
  return base + path + (given.length ? `?${words}` : "");
}

async function problemIn(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    told = { detail: `The service answered ${answer.status}.` };
  }
  if (answer.status === 401 && told.code === "not_authenticated" && !document.body.matches(".login")) toLogin();
  return new Problem({ ...told, status: answer.status });
}

/** Leave for the login, and come back to where this page is. */
export function toLogin() {
  const here = location.pathname.slice(base.length) + location.search;
  location.assign(`${base}/console/login?next=${encodeURIComponent(here)}`);
}

/** Upload a file; gives what the API tells of it. `progress` hears shares from 0 to 1. */
export function upload(file, { progress = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name || "pasted");
    request.open("POST", `${base}/files`);
    request.setRequestHeader("X-Waystation-Console", "1");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () =>
      request.status === 201
        ? resolve(request.response)
        : reject(new Problem({ ...(request.response ?? {}), status: request.status }));
    request.onerror = () => reject(new Problem(AWAY));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
