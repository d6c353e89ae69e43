// The label path. Every call says who the page was drawn for, and every failure has a code.

let base = "";
let person = "";
let project = "";

export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export function connect(at) {
  base = at;
}

export function drawnFor(id) {
  person = id;
}

/** Where the page is at work: what many send about one project at once, the server keeps together. */
export function workIn(name) {
  project = encodeURIComponent(name);
}

export const address = (path) => `${base}/${path}`;

const csrf = () => document.cookie.match(/(?:^|; )csrf=([^;]+)/)?.[1] ?? "";

/**
 * Ask the server; throws Failure with the server's code, or "offline" when it does not answer.
 * `keepalive` lets the request outlive the page (at most 64 kB).
 */
export async function ask(method, path, body, { keepalive = false, timeout = 12000 } = {}) {
  const headers = { Accept: "application/json", "X-Person": person, "X-Project": project, "X-UTC-Offset": String(-new Date().getTimezoneOffset()) };
  const options = { method, headers, credentials: "same-origin", keepalive, cache: "no-store" };
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
    headers["X-CSRF"] = csrf();
    options.body = JSON.stringify(body ?? {});
  }
  if (!keepalive) options.signal = AbortSignal.timeout(timeout);
  let answer;
  try {
    answer = await fetch(`${base}/api/${path}`, options);
  } catch {
    throw new Failure("offline", "");
  }
  if (answer.status === 204) return {};
  let held = {};
  try {
    held = await answer.json();
  } catch {
    // a proxy's page instead of ours: treated by its status below
  }
  if (answer.ok) return held;
  throw new Failure(held.code ?? (answer.status >= 500 ? "store_down" : "refused"), held.message ?? "");
}

/** Send a file as it is; `sent(share)` hears how much of it went out. Fails as `ask` does. */
export function sendFile(path, file, sent) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest(); // fetch does not say how far it is
    request.open("POST", `${base}/api/${path}`);
    for (const [name, value] of Object.entries({ Accept: "application/json", "Content-Type": "application/octet-stream", "X-Person": person, "X-CSRF": csrf() })) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && sent(event.loaded / event.total);
    request.onerror = request.onabort = () => failed(new Failure("offline", ""));
    request.onload = () => {
      const held = request.response ?? {};
      if (request.status < 300) done(held);
      else failed(new Failure(held.code ?? (request.status >= 500 ? "store_down" : "refused"), held.message ?? ""));
    };
    request.send(file);
  });
}

/** Failures that pass by themselves: the same request is worth sending again. */
export const passing = (failure) => failure.code === "offline" || failure.code === "store_down";
