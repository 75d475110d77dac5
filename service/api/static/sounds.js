// The list of driving sounds: adding by file, drop or microphone, removing, and their shares in the mix.

import { Lane } from "./lane.js";
import { canRecord, Recorder } from "./recorder.js";

const MOST = 4;

export class Sounds extends EventTarget {
  /** Events: `change` (files, weights or window), `problem` (detail: {title, detail}). */
  constructor(root) {
    super();
    this.list = root.querySelector("#lanes");
    this.template = root.querySelector("#lane-template");
    this.input = root.querySelector("#sound-input");
    this.label = root.querySelector("#sound-label");
    this.hint = root.querySelector("#sound-hint");
    this.mixHint = root.querySelector("#mix-hint");
    this.lanes = [];
    this.start = null;
    this.clip = 3;
    this.gain = 1;
    this.input.addEventListener("change", () => {
      this.add(this.input.files);
      this.input.value = "";
    });
    this.#listenToRecord(root.querySelector("#record"), root.querySelector("#record-text"));
  }

  /** [name, value] pairs for the request. */
  fields() {
    const fields = this.lanes.map((lane) => ["audio", lane.file]);
    if (this.lanes.length > 1) fields.push(["weights", this.#shares().map((share) => share.toFixed(3)).join(",")]);
    if (this.start !== null) fields.push(["start_seconds", String(this.start)]);
    return fields;
  }

  add(files) {
    for (const file of files) {
      if (this.lanes.length === MOST) {
        this.#complain("Four sounds are the most", "Remove one before adding another.");
        break;
      }
      this.#addLane(file);
    }
    this.#changed();
  }

  setGain(gain) {
    this.gain = gain;
    for (const lane of this.lanes) lane.show({ gain });
  }

  setClip(clip) {
    this.clip = clip;
    for (const lane of this.lanes) lane.show({ clip, automatic: undefined });
  }

  /** windows: the part of each sound that was used, in their order. */
  showHeard(windows) {
    if (this.start !== null) return;
    this.lanes.forEach((lane, index) => lane.show({ heardStart: windows[index]?.start_seconds ?? null }));
  }

  #addLane(file) {
    const lane = new Lane(file, this.template);
    this.lanes.push(lane);
    this.list.append(lane.node);
    lane.addEventListener("remove", () => {
      this.lanes.splice(this.lanes.indexOf(lane), 1);
      lane.close();
      this.#changed();
      this.input.focus();
    });
    lane.addEventListener("start", (event) => this.#chooseStart(event.detail));
    lane.addEventListener("weight", () => this.#showShares());
    lane.node.querySelector(".weight input").addEventListener("change", () => this.#changed());
    lane.show({ clip: this.clip, gain: this.gain });
    lane.load();
    if (file.recorded) {
      const save = lane.node.querySelector(".save");
      Object.assign(save, { hidden: false, href: lane.address, download: file.name });
    }
  }

  /** The service takes one start for all sounds. */
  #chooseStart(start) {
    this.start = start;
    for (const lane of this.lanes) lane.show({ start });
    this.#changed();
  }

  #shares() {
    const total = this.lanes.reduce((sum, lane) => sum + lane.weight, 0);
    return this.lanes.map((lane) => (total > 0 ? lane.weight / total : 1 / this.lanes.length));
  }

  #showShares() {
    const shares = this.#shares();
    this.lanes.forEach((lane, index) => lane.showWeight(this.lanes.length > 1 ? shares[index] : null));
  }

  #changed() {
    const count = this.lanes.length;
    if (count === 0) this.start = null;
    this.#showShares();
    this.mixHint.hidden = count < 2;
    this.label.textContent = count === 0 ? "Choose a sound" : "Add a sound to mix";
    this.hint.hidden = count > 0;
    this.dispatchEvent(new Event("change"));
  }

  #complain(title, detail) {
    this.dispatchEvent(new CustomEvent("problem", { detail: { title, detail } }));
  }

  #listenToRecord(button, text) {
    let recorder = null;
    button.hidden = !canRecord();
    button.addEventListener("click", async () => {
      if (recorder) return recorder.stop();
      try {
        recorder = await Recorder.start((seconds) => (text.textContent = `Stop (${Math.floor(seconds)} s)`));
      } catch {
        return this.#complain("The microphone cannot be used", "Allow this page to use it in the browser, or choose a file.");
      }
      button.setAttribute("aria-pressed", "true");
      text.textContent = "Stop (0 s)";
      const file = await recorder.file;
      recorder = null;
      button.setAttribute("aria-pressed", "false");
      text.textContent = "Record";
      file.recorded = true;
      this.add([file]);
    });
  }
}
