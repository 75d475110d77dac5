// The dials and menus beside the photo.

import { element, fillTrack, find } from "../shared/dom.js";
import { decibels, percent } from "../shared/words.js";

const IDS = ["gain", "strength", "max-side", "format", "model"];
const FIELDS = { gain: "gain_db", strength: "strength", "max-side": "max_side", format: "format", model: "model" };
const DEFAULTS = { gain: "0", strength: "1", "max-side": "", format: "", model: "" };

export class Settings extends EventTarget {
  /** Events: `input` while a dial moves, `change` when it or a menu has been set. */
  constructor() {
    super();
    this.controls = Object.fromEntries(IDS.map((id) => [id, find(`#${id}`)]));
    for (const [id, control] of Object.entries(this.controls)) {
      control.addEventListener("input", () => this.#show("input"));
      control.addEventListener("change", () => this.dispatchEvent(new Event("change")));
      if (control.type !== "range") continue;
      control.addEventListener("dblclick", () => {
        control.value = DEFAULTS[id];
        this.#show("input");
        this.dispatchEvent(new Event("change"));
      });
    }
    this.#show();
  }

  get gain() {
    return Number(this.controls.gain.value);
  }

  get strength() {
    return Number(this.controls.strength.value);
  }

  get model() {
    return this.controls.model.value;
  }

  values() {
    return Object.fromEntries(IDS.map((id) => [id, this.controls[id].value]));
  }

  /** Sets what is given, without an event; what a menu does not have becomes its first choice. */
  set(values) {
    for (const id of IDS) {
      this.controls[id].value = String(values[id] ?? DEFAULTS[id]);
      if (this.controls[id].selectedIndex === -1) this.controls[id].selectedIndex = 0;
    }
    this.#show();
  }

  /** The request's fields. gains: instead of the dial's. */
  fields(gains = null) {
    const fields = gains ? [["gains_db", gains.join(",")]] : [];
    for (const [id, value] of Object.entries(this.values())) {
      if (value !== DEFAULTS[id] && !(gains && id === "gain")) fields.push([FIELDS[id], value]);
    }
    return fields;
  }

  showModels(models) {
    const { model } = this;
    this.controls.model.replaceChildren(...[["default", ""], ...models.map(({ name }) => [name, name])].map(([words, value]) => element("option", { value }, words)));
    this.set({ ...this.values(), model });
  }

  #show(event = null) {
    const { gain, strength } = this.controls;
    find("#gain-value").textContent = decibels(this.gain);
    find("#strength-value").textContent = percent(this.strength);
    gain.setAttribute("aria-valuetext", decibels(this.gain));
    strength.setAttribute("aria-valuetext", percent(this.strength));
    for (const slider of [gain, strength]) fillTrack(slider);
    if (event) this.dispatchEvent(new Event(event));
  }
}

/** The settings of a job that somebody made, from its receipt. */
export function settingsOf({ parameters, gain_db: gain }) {
  return {
    gain: String(gain),
    strength: String(parameters.strength),
    "max-side": String(parameters.max_side ?? ""),
    format: parameters.format ?? "",
    model: parameters.model ?? "",
  };
}

/** The value that is nearest to what is wanted. */
export function nearest(values, wanted) {
  return values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));
}
