// Files are sent once: the service keeps them under the hash of their content, and jobs name them by that.

import { postFile } from "./api.js";
import { Problem } from "./problem.js";
import { fileKey, read, write } from "./store.js";

const KINDS = { image: "a photo", audio: "a sound", video: "a video" };
let trusted = true; // whether what was noted before a reload holds
const sent = new Map(); // by the file's key: what the service said of it, or will say

/**
 * What the service knows of the file, which is sent unless that has been done. Throws a Problem if it is refused.
 * The answer has `id`, and of all but examples `kind`, and `image`, `audio` and `video` with what was found.
 */
export async function upload(file) {
  const key = await fileKey(file);
  if (!sent.has(key)) {
    const sending = send(file, key);
    sent.set(key, sending);
    sending.catch(() => sent.delete(key));
  }
  return sent.get(key);
}

/** Sends the file, unless this browser has done so, before a reload perhaps, and the service has it still. */
async function send(file, key) {
  const known = file.example ? { id: file.example } : trusted && file.kept && (await read("session", `upload ${key}`));
  if (known && !(Date.parse(known.expires_at) < Date.now())) {
    await write("session", `upload ${key}`, known);
    return known;
  }
  try {
    const answer = await postFile("uploads", file);
    await write("session", `upload ${key}`, answer);
    return answer;
  } catch (problem) {
    throw problem.status ? new Problem({ ...problem, detail: `${file.name}: ${problem.detail}` }) : problem;
  }
}

/** The service has lost files: they are sent again when they are needed. */
export function forgetUploads() {
  trusted = false;
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
