// Talks to the service: submits a request, follows its job, reads problem documents.

import { readEvents } from "./events.js";
import { fetchWithKey, storedKey } from "./key.js";

/** A problem document (RFC 9457), or a network failure in the same shape. */
export class Problem extends Error {
  constructor({ title, detail, field, status }) {
    super(detail || title);
    this.title = title;
    this.detail = detail;
    this.field = field;
    this.status = status;
  }
}

async function ask(address, options) {
  let response;
  try {
    response = await fetchWithKey(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service does not answer", detail: "Check that it still runs, then try again." });
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  throw new Problem({ title: `The service refused (${response.status})`, status: response.status, ...document });
}

async function call(address, options) {
  const response = await ask(address, options);
  return response.status === 204 ? null : response.json();
}

const held = new Map(); // by place: addresses of what is shown there

/**
 * Addresses that images, videos and links can open. They cannot send a key; so with one the files are fetched here.
 * place: what was shown there before is let go.
 */
export async function openable(addresses, place, signal) {
  const own = addresses.map((address) => `${address}?redirect=false`); // not the storage's, which is another origin
  if (!storedKey()) return own;
  const fetched = own.map(async (address) => (await ask(address, { signal })).blob());
  const now = (await Promise.all(fetched)).map((blob) => URL.createObjectURL(blob));
  for (const old of held.get(place) ?? []) URL.revokeObjectURL(old);
  held.set(place, now);
  return now;
}

/** fields: [name, value] pairs; a value is a string or a File. Returns the job as it was queued. */
export function submit(fields, signal, route = "stylize") {
  const form = new FormData();
  for (const [name, value] of fields) {
    if (value instanceof Blob) form.append(name, value, value.name);
    else form.append(name, value);
  }
  return call(route, { method: "POST", body: form, headers: { Accept: "application/json" }, signal });
}

export const fetchModels = () => call("models");
export const fetchJob = (id, signal) => call(`jobs/${id}`, { signal });
export const cancelJob = (id) => call(`jobs/${id}`, { method: "DELETE" }).catch(() => null);

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** Follows the job's events until it ends; `onJob(job)` hears of every change. Returns the ended job. */
export async function follow(job, onJob, signal) {
  let now = job;
  while (!ENDED.has(now.state)) {
    await untilEnded(job.id, onJob, signal);
    now = await fetchJob(job.id, signal);
    if (!ENDED.has(now.state)) await new Promise((resolve) => setTimeout(resolve, 1000)); // the stream was refused
  }
  if (now.state === "succeeded") return now;
  if (now.state === "cancelled") throw new Problem({ title: "The job was cancelled" });
  throw new Problem({ title: "The stylization failed", ...now.error });
}

/** Resolves when the job's events say that it has ended, or when they cannot be had. */
async function untilEnded(id, onJob, signal) {
  for await (const data of readEvents(`jobs/${id}/events`, signal)) {
    const job = JSON.parse(data);
    onJob(job);
    if (ENDED.has(job.state)) return;
  }
}
