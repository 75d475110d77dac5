// Small helpers for the document.

export const find = (selector) => document.querySelector(selector);

export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** Colors the part of a range input's track that lies before its thumb. */
export function fillTrack(slider) {
  slider.style.setProperty("--fill", `${(100 * (slider.value - slider.min)) / (slider.max - slider.min)}%`);
}

/** Copies text where the browser allows it; elsewhere selects `node` and shows `note`. Returns whether it is copied. */
export async function copy(text, node, note) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (node) getSelection().selectAllChildren(node);
    note.hidden = false;
    return false;
  }
}

/** Shows other words on a button for a moment. */
export function flash(button, words) {
  const before = button.textContent;
  button.textContent = words;
  setTimeout(() => (button.textContent = before), 1500);
}

/** bar: the progress bar. progress: {done, total} or null. wait: whether nothing done yet counts as not known. */
export function showProgressBar(bar, progress, wait = false) {
  const known = progress?.total > 0 && !(wait && progress.done === 0);
  bar.hidden = false;
  bar.classList.toggle("waiting", !known);
  bar.style.setProperty("--done", known ? progress.done / progress.total : 0);
  if (known) bar.setAttribute("aria-valuenow", Math.round((100 * progress.done) / progress.total));
  else bar.removeAttribute("aria-valuenow");
}
