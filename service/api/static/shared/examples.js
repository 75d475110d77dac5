// Photos and sounds of the service's own, to try at once.

import { call } from "./api.js";
import { element } from "./dom.js";
import { asProblem, showProblem } from "./problem.js";

const fetched = new WeakSet(); // files that are examples, in this visit
let looking;

/** {images, sounds}: lists of documents; none where the service has none. One request for all who ask. */
export const listExamples = () => (looking ??= call("examples").catch(() => ({ images: [], sounds: [] })));

/** The example as a file that has not to be sent. */
export async function fetchExample({ id, file_name: name, media_type: type }) {
  const response = await fetch(`examples/${name}`);
  if (!response.ok) throw new Error("the example cannot be fetched");
  const file = Object.assign(new File([await response.blob()], name, { type }), { example: id });
  fetched.add(file);
  return file;
}

/** A button that does one thing at a time, and says what went wrong. */
export function busyButton(button, work) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      showProblem(asProblem(error));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

function chip(example, onChoose) {
  const picture = example.media_type.startsWith("image/") ? [element("img", { src: `examples/${example.file_name}`, alt: "" })] : [];
  const button = element("button", { type: "button", className: "chip" }, ...picture, example.title);
  return busyButton(button, async () => onChoose(await fetchExample(example)));
}

/** place: shows a chip for each photo, while `isWanted()`. */
export async function offerPhotos(place, onChoose, isWanted) {
  const { images } = await listExamples();
  place.replaceChildren(...images.map((example) => chip(example, onChoose)));
  place.hidden = images.length === 0 || !isWanted();
}

/**
 * place: shows a chip for each sound. It takes the place of the example that is there, unless both are to be mixed.
 * most: how many sounds there may be.
 */
export async function offerSounds(place, sounds, most = 4) {
  const examples = (await listExamples()).sounds;
  const mix = element("button", { type: "button", className: "chip", title: "Add the next one to what is there" }, "Mix");
  mix.setAttribute("aria-pressed", "false");
  mix.addEventListener("click", () => mix.setAttribute("aria-pressed", mix.getAttribute("aria-pressed") !== "true"));
  const choose = (file) => {
    const mixed = mix.getAttribute("aria-pressed") === "true" && most > 1;
    const [old, ...others] = sounds.files;
    if (old && others.length === 0 && fetched.has(old) && !mixed) sounds.replace(old, file);
    else sounds.add([file]);
  };
  place.replaceChildren(...examples.map((example) => chip(example, choose)), ...(most > 1 ? [mix] : []));
  place.hidden = examples.length === 0;
}
