// Sends files, and tells how far that is; what is being sent can be broken off.

import { withKey } from "./key.js";

const running = new Map(); // by file: {loaded, total, request} while it is being sent

/** Tells "progress". detail: {name, loaded, total, seconds} of all that is being sent, in bytes; null when all is. */
export const sending = new EventTarget();

/** Posts the file as a form; resolves to the response. Rejects with an AbortError when it is broken off. */
export async function sendFile(address, file) {
  const form = new FormData();
  form.append("file", file, file.name);
  try {
    return await withKey((headers) => post(address, form, headers, file));
  } finally {
    running.delete(file);
    tell();
  }
}

/** Breaks off the sending of the file; without one, of all. */
export function stopSending(file = null) {
  for (const [one, { request }] of running) if (file === null || one === file) request.abort();
}

function post(address, form, headers, file) {
  const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
  running.set(file, { loaded: 0, total: file.size, began: performance.now(), request });
  request.open("POST", address);
  for (const [name, value] of Object.entries({ Accept: "application/json", ...headers })) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    Object.assign(running.get(file) ?? {}, { loaded, total });
    tell();
  });
  return new Promise((resolve, reject) => {
    request.addEventListener("load", () => resolve(new Response(request.response, { status: request.status })));
    request.addEventListener("error", () => reject(new TypeError("the connection broke")));
    request.addEventListener("abort", () => reject(new DOMException("broken off", "AbortError")));
    request.responseType = "blob";
    request.send(form);
  });
}

function tell() {
  const all = [...running];
  const sum = (name) => all.reduce((total, [, one]) => total + one[name], 0);
  const name = all.length === 1 ? all[0][0].name : `${all.length} files`;
  const began = Math.min(...all.map(([, one]) => one.began));
  const detail = all.length ? { name, loaded: sum("loaded"), total: sum("total"), seconds: (performance.now() - began) / 1000 } : null;
  sending.dispatchEvent(new CustomEvent("progress", { detail }));
}
