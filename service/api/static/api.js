// Talks to the service: submits a request, follows its job, reads problem documents.

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

async function call(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service does not answer", detail: "Check that it still runs, then try again." });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const document = await response.json().catch(() => ({}));
  throw new Problem({ title: `The service refused (${response.status})`, status: response.status, ...document });
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
function untilEnded(id, onJob, signal) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`jobs/${id}/events`);
    const stop = (settle, value) => {
      events.close();
      settle(value);
    };
    signal.addEventListener("abort", () => stop(reject, new DOMException("another request took over", "AbortError")), { once: true });
    const hear = ({ data }) => {
      const job = JSON.parse(data);
      onJob(job);
      if (ENDED.has(job.state)) stop(resolve);
    };
    for (const name of ["message", "state", "progress"]) events.addEventListener(name, hear);
    events.addEventListener("error", () => {
      // the browser reconnects by itself unless the server refused
      if (events.readyState === EventSource.CLOSED) stop(resolve);
    });
  });
}
