// Says what went wrong, in words for someone who looks at a page and not at an API.

import { find } from "./dom.js";
import { sentence } from "./words.js";

/** A problem document (RFC 9457), or something of the page's own in the same shape. */
export class Problem extends Error {
  constructor({ type, title, detail, field, status }) {
    super(detail || title);
    Object.assign(this, { type, title, detail, field, status });
  }
}

const TITLES = {
  "unsupported-media": "This file cannot be used",
  "damaged-media": "This file cannot be used",
  "too-large": "This file is too large",
  "invalid-value": "One of the settings cannot be used",
  "upload-stalled": "The upload was interrupted",
  "too-many-requests": "Too many requests at once",
  "queue-full": "The service is busy",
  unavailable: "The service is not available now",
  "storage-unavailable": "The service is not available now",
  "job-not-found": "This result is no longer kept",
  "lost-too-often": "The picture could not be made",
  internal: "The picture could not be made",
};
// the service speaks of the fields of its API
const WORDS = [
  [/`?\bstart_seconds\b`?/g, "the start"],
  [/`?\bgains?_db\b`?/g, "the volume"],
  [/`?\bmax_side\b`?/g, "the longest side"],
  [/`?\bsmoothing_seconds\b`?/g, "the smoothing"],
  [/`?\bautomation\b`?/g, "the curve"],
  [/;? ?send (a|another) (sound|file|image) as `\w+`/g, "; choose a sound"],
  [/; send /g, "; choose "],
  [/ ?\(ADIS_\w+\)/g, ""],
  [/`([^`]*)`/g, "$1"],
];

/** The problem's title and what to do, in the page's words. */
export function plain(problem) {
  const title = TITLES[problem.type?.split("/").at(-1)] ?? problem.title;
  const detail = WORDS.reduce((text, [term, word]) => text.replace(term, word), problem.detail ?? "");
  return { title, detail: detail && sentence(detail) };
}

/** Anything that was thrown, as a problem. */
export function asProblem(error) {
  return error instanceof Problem ? error : new Problem({ title: "The page failed", detail: error.message });
}

/** Shows the problem in the page's box, or hides the box. places: by field, a selector of what is at fault. */
export function showProblem(problem, places = {}) {
  const box = find("#problem");
  document.querySelectorAll(".at-fault").forEach((node) => node.classList.remove("at-fault"));
  box.hidden = !problem;
  if (!problem) return;
  const { title, detail } = plain(problem);
  box.querySelector("strong").textContent = title;
  box.querySelector("p").textContent = detail;
  if (places[problem.field]) document.querySelector(places[problem.field])?.classList.add("at-fault");
  box.scrollIntoView({ block: "nearest" });
}

find("#dismiss").addEventListener("click", () => showProblem(null));
