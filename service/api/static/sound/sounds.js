// The list of driving sounds: adding by file, drop or microphone, removing, and their shares in the mix.

import { stopSending } from "../shared/sending.js";
import { refusal } from "../shared/uploads.js";
import { Lane } from "./lane.js";
import { canRecord, Recorder } from "./recorder.js";

export class Sounds extends EventTarget {
  /** Events: `change` (detail: what is another: "files", "start" or "shares"), `input` (a share moves), `problem`. */
  constructor(root, most = 4) {
    super();
    this.most = most;
    this.list = root.querySelector("#lanes");
    this.template = root.querySelector("#lane-template");
    this.input = root.querySelector("#sound-input");
    this.label = root.querySelector("#sound-label");
    this.mixHint = root.querySelector(".mix-hint");
    this.recordNote = root.querySelector("#record-note");
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

  get files() {
    return this.lanes.map((lane) => lane.file);
  }

  /** [name, value] pairs for the request, but for the files. */
  fields() {
    const fields = [];
    if (this.lanes.length > 1) fields.push(["weights", this.shares().map((share) => share.toFixed(3)).join(",")]);
    return [...fields, ...this.startFields()];
  }

  startFields() {
    return this.start === null ? [] : [["start_seconds", String(this.start)]];
  }

  /** How the sounds are used: what can be undone. */
  arrangement() {
    return { weights: this.lanes.map((lane) => lane.weight), start: this.start };
  }

  /** Uses the sounds as they were, without an event. */
  arrange({ weights, start }) {
    this.lanes.forEach((lane, index) => (lane.weight = weights[index] ?? 100));
    this.start = start;
    for (const lane of this.lanes) lane.show({ start });
    this.#showShares();
  }

  add(files) {
    for (const file of files) {
      if (this.lanes.length === this.most) {
        const most = this.most === 1 ? "One sound is" : `${this.most} sounds are`;
        this.#complain(`${most} the most`, "Remove one before adding another.");
        break;
      }
      this.#addLane(file);
    }
    this.#changed("files");
  }

  /** Takes these files instead of those that are there, without an event. */
  restore(files, arrangement) {
    for (const lane of this.lanes.splice(0)) lane.close();
    for (const file of files) this.#addLane(file);
    this.arrange(arrangement);
    this.#showCount();
  }

  /** Takes one sound instead of another. */
  replace(old, file) {
    const lane = this.lanes.find((one) => one.file === old);
    if (lane) this.#drop(lane);
    this.start = null;
    this.add([file]);
  }

  remove(file) {
    const lane = this.lanes.find((one) => one.file === file);
    if (!lane) return;
    this.#drop(lane);
    this.#changed("files");
  }

  #drop(lane) {
    stopSending(lane.file);
    this.lanes.splice(this.lanes.indexOf(lane), 1);
    lane.close();
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
    if (this.lanes.length > 0) lane.weight = this.lanes.reduce((sum, one) => sum + one.weight, 0) / this.lanes.length;
    this.lanes.push(lane);
    this.list.append(lane.node);
    lane.addEventListener("remove", () => {
      this.remove(file);
      this.input.focus();
    });
    lane.addEventListener("start", (event) => this.#chooseStart(event.detail));
    lane.addEventListener("weight", (event) => {
      this.#setShare(lane, event.detail);
      this.dispatchEvent(new Event("input"));
    });
    lane.node.querySelector(".weight input")?.addEventListener("change", () => this.#changed("shares"));
    lane.show({ clip: this.clip, gain: this.gain });
    lane.load();
    this.#check(file);
    if (file.recorded) {
      const save = lane.node.querySelector(".save");
      Object.assign(save, { hidden: false, href: lane.address, download: file.name });
    }
  }

  /** Takes the sound away again if the service does not take it. */
  async #check(file) {
    const problem = await refusal(file, "audio");
    if (!problem || !this.files.includes(file)) return;
    this.remove(file);
    this.dispatchEvent(new CustomEvent("problem", { detail: problem }));
  }

  /** The service takes one start for all sounds. */
  #chooseStart(start) {
    this.start = start;
    for (const lane of this.lanes) lane.show({ start });
    this.#changed("start");
  }

  /** Each sound's share of the mix; they add up to 1. */
  shares() {
    const total = this.lanes.reduce((sum, lane) => sum + lane.weight, 0);
    return this.lanes.map((lane) => (total > 0 ? lane.weight / total : 1 / this.lanes.length));
  }

  /** Gives one sound its share, in percent; the others divide the rest as they did before. */
  #setShare(lane, share) {
    const others = this.lanes.filter((one) => one !== lane);
    const sum = others.reduce((total, one) => total + one.weight, 0);
    for (const one of others) one.weight = (100 - share) * (sum > 0 ? one.weight / sum : 1 / others.length);
    lane.weight = share;
    this.#showShares();
  }

  #showShares() {
    const shares = this.shares();
    this.lanes.forEach((lane, index) => lane.showWeight(this.lanes.length > 1 ? shares[index] : null));
  }

  #changed(what) {
    if (this.lanes.length === 0) this.start = null;
    this.#showShares();
    this.#showCount();
    this.dispatchEvent(new CustomEvent("change", { detail: what }));
  }

  #showCount() {
    if (this.mixHint) this.mixHint.hidden = this.lanes.length < 2;
    this.label.hidden = this.lanes.length === this.most;
    this.label.textContent = this.lanes.length === 0 ? "Choose a sound" : "Add a sound to mix";
  }

  #complain(title, detail) {
    this.dispatchEvent(new CustomEvent("problem", { detail: { title, detail } }));
  }

  #listenToRecord(button, text) {
    let recorder = null;
    button.hidden = !canRecord();
    this.recordNote.hidden = canRecord();
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
