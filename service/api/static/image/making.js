// Requests of the photo page: the whole picture, one for each volume of a sweep, and the small ones for the dials.

import { fetchResult, perform } from "../shared/api.js";
import { fileKey } from "../shared/store.js";
import { STEPS_DB } from "./live.js";

const PREVIEW_SIDE = "512";
const BEFORE_SIDE = "2048"; // of a photo that the browser cannot show itself
const OPAQUE = /\.(jpe?g|jfif|hei[cf]|bmp)$/i;

/** [name, value] pairs of the files. */
function inputs(photo, sounds) {
  return [["image", photo], ...sounds.map((sound) => ["audio", sound])];
}

/** The same text for the same request with the same files. */
export async function requestKey(photo, sounds, fields) {
  const keys = await Promise.all([photo, ...sounds].map(fileKey));
  return JSON.stringify([keys, fields.filter(([name]) => name !== "gains_db").sort()]);
}

/** Returns the job's results, each with its bytes as `blob`. */
export async function make(photo, sounds, fields, signal, onJob) {
  const job = await perform([...inputs(photo, sounds), ...fields], signal, onJob);
  return Promise.all(job.results.map(async (result) => ({ ...result, job: job.id, blob: await fetchResult(result.url, signal) })));
}

/** Small results at STEPS_DB: [{image, heard}, ...]. */
export async function makePreviews(photo, sounds, fields, signal) {
  const own = [["gains_db", STEPS_DB.join(",")], ["max_side", PREVIEW_SIDE], ["format", OPAQUE.test(photo.name) ? "jpeg" : "webp"]];
  const results = await make(photo, sounds, [...fields, ...own], signal, () => {});
  return Promise.all(results.map(async ({ blob, heard }) => ({ image: await createImageBitmap(blob), heard })));
}

/** The photo itself, as the service reads it. */
export async function makeBefore(photo, sounds) {
  const fields = [["strength", "0"], ["max_side", BEFORE_SIDE], ["format", "webp"]];
  const [{ blob }] = await make(photo, sounds.slice(0, 1), fields, new AbortController().signal, () => {});
  return blob;
}
