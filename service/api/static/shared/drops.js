// Files that are dropped or pasted anywhere in the window, sorted by kind.

import { element } from "./dom.js";

const SUFFIXES = {
  image: /\.(jpe?g|jfif|png|webp|hei[cf]|avif|tiff?|bmp|gif)$/i,
  audio: /\.(wav|mp3|ogg|oga|opus|flac|m4a|aac|aiff?|aifc|caf|wma|amr|e?ac3|au|snd|w64|mka)$/i,
  video: /\.(mp4|m4v|mov|mkv|webm|m?ts|m2ts|avi|flv|mpe?g|3gp)$/i,
};

/** "image", "audio", "video", or null for a file of none of these kinds. */
export function kindOf(file) {
  const named = Object.keys(SUFFIXES).find((kind) => SUFFIXES[kind].test(file.name));
  const typed = Object.keys(SUFFIXES).find((kind) => file.type.startsWith(`${kind}/`));
  return typed ?? named ?? null;
}

/**
 * Takes files wherever they fall. onFiles({image, audio, video, other}): lists, of which some may be empty.
 * onAddress(text): an address was dropped or pasted instead of a file.
 */
export function takeFiles(onFiles, onAddress) {
  const veil = element("div", { className: "veil", hidden: true }, element("p", {}, "Drop it anywhere"));
  veil.setAttribute("aria-hidden", "true");
  document.body.append(veil);
  let depth = 0; // of elements that the pointer has entered
  const show = (on) => {
    if (!on) depth = 0;
    veil.hidden = !on;
  };
  window.addEventListener("dragenter", (event) => {
    if (!carries(event.dataTransfer)) return;
    depth += 1;
    show(true);
  });
  window.addEventListener("dragleave", () => {
    if (--depth <= 0) show(false);
  });
  window.addEventListener("dragover", (event) => {
    if (carries(event.dataTransfer)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    show(false);
    if (take(event.dataTransfer)) event.preventDefault();
  });
  window.addEventListener("paste", (event) => {
    if (event.target.closest?.("input:not([type=range]), textarea")) return;
    if (take(event.clipboardData)) event.preventDefault();
  });

  function take(data) {
    const files = [...data.files];
    const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
    if (files.length > 0) {
      const sorted = { image: [], audio: [], video: [], other: [] };
      for (const file of files) sorted[kindOf(file) ?? "other"].push(file);
      onFiles(sorted);
    } else if (/^(https?|ftp|file):\S+$/i.test(text.split("\n")[0])) {
      onAddress(text);
    } else {
      return false;
    }
    return true;
  }
}

const carries = (data) => data.types.includes("Files") || data.types.includes("text/uri-list");

/** Asks which of several ways to go; resolves to the chosen value, or to null. choices: [[value, words], ...]. */
export function choose(title, detail, choices) {
  const buttons = choices.map(([value, words]) => element("button", { type: "submit", value, className: "button" }, words));
  const cancel = element("button", { type: "submit", value: "", className: "button quiet" }, "Cancel");
  const heading = element("h2", { id: "choice-title" }, title);
  const form = element("form", { method: "dialog" }, heading, element("p", {}, detail), element("div", { className: "choices" }, ...buttons, cancel));
  const dialog = element("dialog", { className: "card ask" }, form);
  dialog.setAttribute("aria-labelledby", "choice-title");
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
  });
}
