// One driving sound: its waveform with the used window, playing, its weight in the mix.

import { clock } from "../shared/words.js";
import { Player } from "./player.js";
import { decode, draw, loudestStart } from "./waveform.js";

const STEP = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1, Home: -1e6, End: 1e6 };

export class Lane extends EventTarget {
  /** Events: `remove`, `start` (detail: seconds or null for the loudest), `weight` (detail: the share, in percent). */
  constructor(file, template) {
    super();
    this.file = file;
    this.node = template.content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.node.querySelector(selector);
    this.wave = this.find(".wave");
    this.whole = this.wave.classList.contains("whole"); // used from its beginning to its end: no window is chosen
    this.hint = this.find(".lane-hint");
    this.weight = 100; // beside those of the others
    this.clip = 3;
    this.gain = 1;
    this.start = null;
    this.heardStart = null;
    this.address = URL.createObjectURL(file);
    this.player = new Player(this.address, () => this.#showPlaying());
    this.find(".file-name").textContent = this.find(".file-name").title = file.name;
    this.#listen();
  }

  /** Reads the sound; what the browser cannot read is sent all the same. */
  async load() {
    this.hint.textContent = "Reading the sound …";
    try {
      const { samples, seconds } = await decode(this.file);
      Object.assign(this, { samples, seconds });
      this.peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      this.find(".length").textContent = clock(seconds);
      this.find(".play").setAttribute("aria-label", `Play ${this.file.name}`);
      new ResizeObserver(() => this.show()).observe(this.wave);
    } catch {
      this.wave.hidden = true;
      this.find(".play").hidden = true;
      this.hint.textContent = "This browser cannot play the sound; the service may still read it.";
    }
    this.show();
  }

  /** Changes what is shown: clip (seconds of the window), gain (linear), start (seconds, null: the loudest), heardStart. */
  show(changes = {}) {
    Object.assign(this, changes);
    if (!this.samples) return;
    this.player.setGain(this.gain, this.peak);
    if (this.whole) {
      this.hint.textContent = "Mixed into the soundtrack, and repeated to its end.";
      return draw(this.find("canvas"), this.samples, { gain: this.gain, from: 0, to: 1 });
    }
    const latest = Math.max(0, this.seconds - this.clip);
    this.automatic ??= loudestStart(this.samples, this.clip);
    const from = Math.min(latest, this.start ?? this.heardStart ?? this.automatic);
    const to = Math.min(this.seconds, from + this.clip);
    this.wave.style.setProperty("--from", `${(100 * from) / this.seconds}%`);
    this.wave.style.setProperty("--length", `${(100 * (to - from)) / this.seconds}%`);
    this.wave.setAttribute("aria-valuemax", latest.toFixed(1));
    this.wave.setAttribute("aria-valuenow", from.toFixed(1));
    this.wave.setAttribute("aria-valuetext", `from ${from.toFixed(1)} to ${to.toFixed(1)} seconds`);
    this.from = from;
    this.#explain(from, to, latest);
    draw(this.find("canvas"), this.samples, { gain: this.gain, from: from / this.seconds, to: to / this.seconds });
  }

  showWeight(share) {
    if (this.find(".weight")) this.find(".weight").hidden = share === null;
    if (share === null) return;
    this.find(".weight output").textContent = `${Math.round(share * 100)} %`;
    this.find(".weight input").value = Math.round(share * 100);
    this.find(".weight input").style.setProperty("--fill", `${share * 100}%`);
  }

  close() {
    this.player.close();
    URL.revokeObjectURL(this.address);
    this.node.remove();
  }

  #explain(from, to, latest) {
    if (latest === 0) {
      const repeated = this.seconds < this.clip ? `, repeated to fill ${this.clip} s` : "";
      this.hint.textContent = `The whole sound is used${repeated}.`;
    } else if (this.start === null) {
      this.hint.textContent = `The loudest ${this.clip} s are used (${clock(from)} to ${clock(to)}). Click the waveform to choose others.`;
    } else {
      const back = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Use the loudest part" });
      back.addEventListener("click", () => this.#choose(null));
      this.hint.replaceChildren(`Used: ${clock(from)} to ${clock(to)}. `, back);
    }
  }

  #listen() {
    this.find(".remove").setAttribute("aria-label", `Remove ${this.file.name}`);
    this.find(".remove").addEventListener("click", () => this.dispatchEvent(new Event("remove")));
    this.find(".play").addEventListener("click", () => this.player.toggle());
    if (this.whole) return;
    this.find(".weight input").addEventListener("input", ({ target }) => this.dispatchEvent(new CustomEvent("weight", { detail: Number(target.value) })));
    this.wave.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.wave.setPointerCapture(event.pointerId);
      this.wave.classList.add("held");
      this.#drag(event.clientX);
    });
    this.wave.addEventListener("pointermove", (event) => {
      if (this.wave.hasPointerCapture(event.pointerId)) this.#drag(event.clientX);
    });
    this.wave.addEventListener("lostpointercapture", () => {
      this.wave.classList.remove("held");
      if (this.dragged !== undefined) this.#choose(this.dragged);
      this.dragged = undefined;
    });
    this.wave.addEventListener("keydown", (event) => {
      if (!(event.key in STEP)) return;
      event.preventDefault();
      this.#choose(this.#within(this.from + STEP[event.key]));
    });
  }

  #within(seconds) {
    return Math.round(10 * Math.max(0, Math.min(this.seconds - this.clip, seconds))) / 10;
  }

  /** Shows the window centred under the pointer; it is chosen when the pointer lets go. */
  #drag(clientX) {
    if (!this.samples || this.seconds <= this.clip) return;
    const { left, width } = this.wave.getBoundingClientRect();
    this.dragged = this.#within(((clientX - left) / width) * this.seconds - this.clip / 2);
    this.show({ start: this.dragged });
  }

  #choose(start) {
    if (!this.samples || this.seconds <= this.clip) return;
    this.dispatchEvent(new CustomEvent("start", { detail: start }));
  }

  #showPlaying() {
    const { playing, seconds } = this.player;
    this.find(".play").classList.toggle("playing", playing);
    this.find(".play").setAttribute("aria-label", `${playing ? "Stop" : "Play"} ${this.file.name}`);
    this.find(".playhead").hidden = !playing;
    this.wave.style.setProperty("--at", `${(100 * seconds) / (this.seconds || 1)}%`);
  }
}
