// The photo page's wiring: what happens where it is clicked, dropped, pasted or typed.

import { fetchModels } from "../shared/api.js";
import { copy, find, flash } from "../shared/dom.js";
import { choose, takeFiles } from "../shared/drops.js";
import { offerPhotos, offerSounds } from "../shared/examples.js";
import { asProblem, Problem, showProblem } from "../shared/problem.js";
import { clear, write } from "../shared/store.js";
import { begin, changed, choosePhoto, dialMoved, followChange, forgetResults, goTo, restore, results, settings, sounds, stylize, undo } from "./editor.js";
import { showGallery } from "./gallery.js";
import { listenToKeys } from "./undo.js";

const SWEEP_DB = [10, 0, -10, -20, -30, -40];

async function takeDropped({ image, audio, video, other }) {
  if (image.length > 0) await choosePhoto(image[0]);
  if (audio.length > 0) sounds.add(audio);
  if (video.length > 0) await takeVideo(video[0]);
  if (other.length === 0) return;
  showProblem(new Problem({ title: "This file cannot be used", detail: `${other[0].name} is neither a photo, a sound nor a video.` }));
}

async function takeVideo(file) {
  const ways = [["sound", "Use its sound here"], ["video", "Open it on the video page"]];
  const way = await choose("This is a video", `What shall be done with ${file.name}?`, ways);
  if (way === "sound") sounds.add([file]);
  if (way !== "video") return;
  await write("session", "handed over", file);
  location.href = "video";
}

async function showModels() {
  const models = (await fetchModels()).models.filter(({ replaced }) => !replaced);
  settings.showModels(models);
  const standard = models.find((model) => model.default) ?? models[0];
  if (!standard) return;
  sounds.setClip(standard.clip_seconds);
  find("#model-line").textContent = `Model ${standard.name} ${standard.version}`;
}

takeFiles(takeDropped, () => {
  showProblem(new Problem({ title: "Addresses are not fetched", detail: "Save the file on this computer, then drop or paste the file itself." }));
});
find("#picture-input").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) await choosePhoto(file);
});
sounds.addEventListener("change", ({ detail: what }) => {
  if (what === "shares") dialMoved();
  changed(what);
});
sounds.addEventListener("input", dialMoved);
sounds.addEventListener("problem", ({ detail }) => showProblem(new Problem(detail)));
settings.addEventListener("input", dialMoved);
settings.addEventListener("change", () => changed("dials"));
results.addEventListener("choose", ({ detail: entry }) => restore(entry, entry));
find("#settings").addEventListener("submit", (event) => {
  event.preventDefault();
  followChange();
});
find("#go-sweep").addEventListener("click", async () => {
  if (await stylize(SWEEP_DB)) followChange();
});
find("#undo").addEventListener("click", () => goTo(undo.undo()));
find("#redo").addEventListener("click", () => goTo(undo.redo()));
listenToKeys(() => goTo(undo.undo()), () => goTo(undo.redo()));
find("#clear").addEventListener("click", async () => {
  forgetResults();
  await clear();
});
find("#link").addEventListener("click", async ({ target }) => {
  if (await copy(location.href, null, find("#copy-note"))) flash(target, "Copied");
  else flash(target, "Copy the address above");
});
find("#copy").addEventListener("click", async ({ target }) => {
  const code = find("#command code");
  if (await copy(code.textContent, code, find("#copy-note"))) flash(target, "Copied");
});

showModels().catch((error) => showProblem(asProblem(error)));
begin();
offerPhotos(find("#picture-examples"), choosePhoto, () => !find("#picture-drop").hidden);
offerSounds(find("#sound-examples"), sounds);
showGallery(find("#gallery"), choosePhoto, sounds);
// chosen while this script was still on its way
for (const input of document.querySelectorAll("input[type=file]")) if (input.files.length) input.dispatchEvent(new Event("change"));
