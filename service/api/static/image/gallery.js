// What the built-in sounds do to one of the built-in photos, as pictures that are made with the page (docs/page.md).

import { element, find } from "../shared/dom.js";
import { busyButton, fetchExample, listExamples } from "../shared/examples.js";

const PHOTO = "lake";
const SOUNDS = ["rain-heavy", "snow-steps", "thunder", "birdsong", "leaf-steps", "crickets"];

/** Shows them in the section until a photo is chosen; a click chooses both the photo and the sound. */
export async function showGallery(section, choosePhoto, sounds) {
  const examples = await listExamples();
  const named = (list, name) => list.find(({ id }) => id === `example:${name}`);
  const photo = named(examples.images, PHOTO);
  const offered = SOUNDS.map((name) => [name, named(examples.sounds, name)]).filter(([, sound]) => photo && sound);
  section.querySelector("ol").replaceChildren(...offered.map(([name, sound]) => element("li", {}, button(name, photo, sound, choosePhoto, sounds))));
  section.hidden = offered.length === 0 || find("#picture-drop").hidden;
}

function button(name, photo, sound, choosePhoto, sounds) {
  const image = element("img", { src: `static/gallery/${name}.jpg`, alt: "", width: 240, height: 160 });
  return busyButton(element("button", { type: "button" }, image, sound.title), async () => {
    const [file, own] = await Promise.all([fetchExample(photo), fetchExample(sound)]);
    const files = sounds.files;
    if (files.length === 0) sounds.add([own]);
    else sounds.replace(files[0], own);
    await choosePhoto(file);
  });
}
