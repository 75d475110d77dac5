// Files are sent once: the service keeps them under the hash of their content, and jobs name them by that.

import { call } from "./api.js";
import { Problem } from "./problem.js";
import { fileKey } from "./store.js";

const KINDS = { image: "a photo", audio: "a sound", video: "a video" };
const sent = new Map(); // by the file's key: what the service said of it, or will say

/**
 * What the service knows of the file, which is sent unless that has been done. Throws a Problem if it is refused.
 * The answer has `id`, `usable_as`, and `image`, `audio` and `video` with what was found.
 */
export async function upload(file) {
  if (file.example) return { id: file.example };
  const key = await fileKey(file);
  if (!sent.has(key)) {
    const sending = send(file, key).catch((problem) => {
      throw problem.status ? new Problem({ ...problem, detail: `${file.name}: ${problem.detail}` }) : problem;
    });
    sent.set(key, sending);
    sending.catch(() => sent.delete(key));
  }
  return sent.get(key);
}

/** Of a file that it may have got in an earlier visit, the service is asked first. */
async function send(file, key) {
  if (file.kept && /^[0-9a-f]{64}$/.test(key)) {
    const known = await call(`uploads/${key}`).catch((problem) => (problem.status === 404 ? null : Promise.reject(problem)));
    if (known) return known;
  }
  const form = new FormData();
  form.append("file", file, file.name);
  return call("uploads", { method: "POST", body: form });
}

/** The service has lost files: they are sent again when they are needed. */
export function forgetUploads() {
  sent.clear();
}

/** Why the service does not take the file; null where it does, or cannot be asked. kind: "image", "audio" or "video". */
export async function refusal(file, kind) {
  try {
    const known = await upload(file);
    if (known[kind] !== null) return null;
    return new Problem({ type: "unsupported-media", detail: `${file.name} is ${KINDS[known.kind]}, not ${KINDS[kind]}.` });
  } catch (problem) {
    if (![413, 415, 422].includes(problem.status)) return null;
    return new Problem({ ...problem, field: kind });
  }
}

/** The request's fields with ids in place of the files. */
export async function withIds(fields) {
  return Promise.all(fields.map(async ([name, value]) => (value instanceof Blob ? [`${name}_id`, (await upload(value)).id] : [name, value])));
}
