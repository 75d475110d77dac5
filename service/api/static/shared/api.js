// Talks to the service: submits a request, follows its job, reads problem documents.

import { readEvents } from "./events.js";
import { fetchWithKey, storedKey } from "./key.js";
import { Problem } from "./problem.js";
import { sendFile } from "./sending.js";
import { forgetUploads, withIds } from "./uploads.js";

const ASK_AGAIN_MS = 1500; // how the queue moves, which no event tells

const ask = (address, options) => answered(fetchWithKey(address, options));

/** The response that is promised; throws a Problem if it is a refusal, or none comes. */
async function answered(promise) {
  let response;
  try {
    response = await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service does not answer", detail: "Check that it still runs, then try again." });
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  throw new Problem({ title: `The service refused (${response.status})`, status: response.status, ...document });
}

export async function call(address, options) {
  const response = await ask(address, options);
  return response.status === 204 ? null : response.json();
}

/** What the service says of the file that is sent to it. */
export const postFile = async (address, file) => (await answered(sendFile(address, file))).json();

/** The bytes of a result; not from the storage's own address, which is another origin. */
export async function fetchResult(url, signal) {
  return (await ask(`${url}?redirect=false`, { signal })).blob();
}

const held = new Map(); // by place: addresses of what is shown there

/**
 * Addresses that images, videos and links can open. They cannot send a key; so with one the files are fetched here.
 * place: what was shown there before is let go.
 */
export async function openable(addresses, place, signal) {
  if (!storedKey()) return addresses.map((address) => `${address}?redirect=false`);
  const now = (await Promise.all(addresses.map((address) => fetchResult(address, signal)))).map((blob) => URL.createObjectURL(blob));
  for (const old of held.get(place) ?? []) URL.revokeObjectURL(old);
  held.set(place, now);
  return now;
}

/**
 * Hands in a request, whose files are sent if they have not been. Returns the job as it was queued.
 * Once handed in it is not broken off: there might be a job then that nobody knows.
 */
async function submit(fields, signal, route) {
  for (let again = false; ; again = true) {
    const form = new FormData();
    for (const [name, value] of await unlessAborted(withIds(fields), signal)) form.append(name, value);
    try {
      return await call(route, { method: "POST", body: form, headers: { Accept: "application/json" } });
    } catch (problem) {
      if (again || !problem.type?.endsWith("/upload-not-found")) throw problem;
      forgetUploads(); // they have expired
    }
  }
}

function unlessAborted(promise, signal) {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  signal.throwIfAborted();
  return Promise.race([promise, aborted]);
}

export const fetchModels = () => call("models");
export const fetchJob = (id, signal) => call(`jobs/${id}`, { signal });
const cancelJob = (id) => call(`jobs/${id}`, { method: "DELETE" }).catch(() => null);

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/**
 * Hands in a request and follows its job to the end. fields: [name, value] pairs; a value is a string or a File. Returns the job; throws a Problem if it fails.
 * onJob(job) hears of every change. When the signal aborts, the job is cancelled.
 */
export async function perform(fields, signal, onJob, route = "stylize") {
  const job = await submit(fields, signal, route);
  if (signal.aborted) cancelJob(job.id);
  signal.throwIfAborted();
  signal.addEventListener("abort", () => cancelJob(job.id), { once: true });
  onJob(job);
  return follow(job, onJob, signal);
}

async function follow(job, onJob, signal) {
  let now = job;
  let latest = job;
  const timer = setInterval(async () => {
    if (latest.state !== "queued" || signal.aborted) return;
    const asked = await fetchJob(job.id, signal).catch(() => null);
    if (asked && latest.state === "queued") onJob((latest = asked));
  }, ASK_AGAIN_MS);
  try {
    while (!ENDED.has(now.state)) {
      await untilEnded(job.id, (said) => onJob((latest = { ...latest, ...said })), signal, () => onJob({ ...latest, broken: true }));
      now = await fetchJob(job.id, signal).catch((problem) => {
        if (problem.status || signal.aborted) throw problem;
        onJob({ ...latest, broken: true });
        return now; // the job goes on while nothing is heard of it
      });
      if (!ENDED.has(now.state)) await new Promise((resolve) => setTimeout(resolve, 1000)); // the stream was refused
    }
  } finally {
    clearInterval(timer);
  }
  if (now.state === "succeeded") return now;
  if (now.state === "cancelled") throw new Problem({ title: "The job was cancelled" });
  throw new Problem({ title: "The picture could not be made", ...now.error });
}

/** Resolves when the job's events say that it has ended, or when they cannot be had. */
async function untilEnded(id, onJob, signal, onBreak) {
  for await (const data of readEvents(`jobs/${id}/events`, signal, onBreak)) {
    const job = JSON.parse(data);
    onJob(job);
    if (ENDED.has(job.state)) return;
  }
}
