// What surrounds the picture: the name, what is still missing, the command.

import { find } from "../shared/dom.js";
import { storedKey } from "../shared/key.js";
import { curlCommand } from "./command.js";

/** Shows the place where a photo is seen, instead of the one where it is chosen. */
export function showStage(name) {
  find(".stage").classList.add("chosen");
  for (const id of ["#picture-drop", "#picture-examples", "#gallery"]) find(id).hidden = true;
  for (const id of ["#compare", "#stage-foot", "#toolbar"]) find(id).hidden = false;
  find("#picture-name").textContent = find("#picture-name").title = name;
}

/** Says what is still to be chosen. */
export function showReady(photo, sounds) {
  const ready = Boolean(photo) && sounds.length > 0;
  find("#go").disabled = find("#go-sweep").disabled = !ready;
  find("#ready-hint").hidden = ready;
  find("#ready-hint").textContent = photo ? "Choose a sound to go on." : sounds.length ? "Choose a photo to go on." : "Choose a photo and a sound to begin.";
}

export function showCommand(photo, sounds, fields) {
  const all = [["image", photo], ...sounds.map((sound) => ["audio", sound]), ...fields];
  find("#command").hidden = false;
  find("#command code").textContent = curlCommand(all, new URL("stylize", location.href.split("#")[0]).href, storedKey() !== null);
}
