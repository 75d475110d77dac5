// The results of this session as a strip, each with all that it was made of; kept over a reload.

import { element, find } from "../shared/dom.js";
import { keepFile, keys, read, readAll, remove, write } from "../shared/store.js";
import { decibels, percent } from "../shared/words.js";
import { requestKey } from "./making.js";

const MOST = 40;
const MOST_BYTES = 400e6;
const THUMB_SIDE = 240;

/** A small picture of the blob, for the strip. */
async function thumbnail(blob) {
  const whole = await createImageBitmap(blob);
  const scale = Math.min(1, THUMB_SIDE / Math.min(whole.width, whole.height));
  const canvas = new OffscreenCanvas(Math.max(1, whole.width * scale), Math.max(1, whole.height * scale));
  canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return canvas.convertToBlob({ type: "image/webp", quality: 0.85 });
}

/** What the strip keeps of a result. made: {photo, files, settings, arrangement}; fields: of the request. */
export async function entryOf(result, made, fields) {
  const settings = { ...made.settings, gain: String(result.gain_db) };
  const rest = fields.filter(([name]) => name !== "gain_db");
  const files = [made.photo, ...made.files].map(async (file) => ({ key: await keepFile(file), name: file.name }));
  const [picture, ...sounds] = await Promise.all(files);
  return {
    id: `${result.job}-${result.url.split("/").at(-1)}`,
    key: await requestKey(made.photo, made.files, result.gain_db === 0 ? rest : [...rest, ["gain_db", settings.gain]]),
    at: Date.now(),
    blob: result.blob,
    mediaType: result.media_type,
    fileName: result.file_name,
    width: result.width,
    height: result.height,
    heard: result.heard,
    picture,
    sounds,
    arrangement: made.arrangement,
    settings,
  };
}

export class Results extends EventTarget {
  /** Events: `choose` (detail: a result). section: with an ordered list. */
  constructor(section) {
    super();
    this.section = section;
    this.list = section.querySelector("ol");
    this.entries = []; // the newest first
  }

  /** Reads what an earlier visit has left. */
  async load() {
    const entries = await readAll("results");
    this.entries = entries.sort((one, other) => other.at - one.at);
    this.#show();
  }

  /**
   * entry: as `entryOf` makes it. Another of the same request goes, and so do the oldest of too many.
   */
  async add(entry) {
    entry.thumb = await thumbnail(entry.blob).catch(() => entry.blob);
    this.entries = [entry, ...this.entries.filter(({ key }) => key !== entry.key)];
    await write("results", entry.id, entry);
    const kept = new Set(this.entries.map(({ id }) => id));
    let bytes = 0;
    for (const [index, one] of this.entries.entries()) {
      bytes += one.blob.size;
      if (index >= MOST || (index > 0 && bytes > MOST_BYTES)) kept.delete(one.id);
    }
    this.entries = this.entries.filter(({ id }) => kept.has(id));
    for (const { id } of await readAll("results")) if (!kept.has(id)) await remove("results", id);
    this.#show();
  }

  /** The result of the same request, if there is one. */
  find(key) {
    return this.entries.find((entry) => entry.key === key);
  }

  mark(chosen) {
    this.chosen = chosen?.id;
    for (const button of this.list.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.id === this.chosen);
    const button = this.list.querySelector("[aria-pressed=true]");
    if (button) this.list.scrollLeft = Math.max(0, button.parentElement.offsetLeft - this.list.offsetLeft - this.list.clientWidth / 2 + 60);
  }

  forget() {
    this.entries = [];
    this.#show();
  }

  #show() {
    for (const image of this.list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.section.hidden = this.entries.length === 0;
    this.list.replaceChildren(...this.entries.map((entry) => element("li", {}, this.#button(entry))));
    this.mark({ id: this.chosen });
  }

  #button(entry) {
    const sounds = entry.sounds.map(({ name }) => name.replace(/\.[^.]*$/, "")).join(" + ");
    const dials = [decibels(Number(entry.settings.gain)), ...(entry.settings.strength === "1" ? [] : [percent(entry.settings.strength)])].join(", ");
    const image = element("img", { src: URL.createObjectURL(entry.thumb), alt: "" });
    const button = element("button", { type: "button", title: `${entry.picture?.name ?? ""} · ${sounds} · ${dials}` }, image, element("b", {}, sounds || "–"), element("span", {}, dials));
    button.dataset.id = entry.id;
    button.setAttribute("aria-label", `Show the result of ${sounds} at ${dials}`);
    button.addEventListener("click", () => this.dispatchEvent(new CustomEvent("choose", { detail: entry })));
    return button;
  }
}

/** Drops files that neither a result nor a session needs. session: as it is kept. */
export async function tidyFiles(results, session) {
  const needed = new Set([session?.picture, ...(session?.sounds ?? [])].map((file) => file?.key));
  for (const { picture, sounds } of results.entries) for (const file of [picture, ...sounds]) needed.add(file?.key);
  for (const key of await keys("files")) if (!needed.has(key)) await remove("files", key);
}

export const readSession = () => read("session", "photo");
export const writeSession = (session) => write("session", "photo", session);

find("#clear").title = "Forgets the results, photos and sounds that this browser keeps";
