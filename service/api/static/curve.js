// The curve of volume over time: points that are added, dragged, moved by keys and removed.

import { decibels } from "./report.js";
import { draw } from "./waveform.js";

export const LOWEST = -60;
export const HIGHEST = 24;
const KEYS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], PageUp: [0, 6], PageDown: [0, -6] };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Curve extends EventTarget {
  /** Events: `change`. */
  constructor(node) {
    super();
    this.node = node;
    this.canvas = node.querySelector("canvas");
    this.line = node.querySelector("polyline");
    this.holder = node.querySelector(".points");
    this.seconds = 0;
    this.samples = null;
    this.points = [];
    node.addEventListener("pointerdown", (event) => this.#press(event));
    new ResizeObserver(() => this.show()).observe(node);
  }

  /** A new video of that length: a flat curve at 0 dB. */
  begin(seconds) {
    Object.assign(this, { seconds, samples: null, points: [], gain: 0 });
    this.canvas.width = 0;
    this.show();
  }

  /** Draws the soundtrack behind the curve. */
  showSound(samples) {
    this.samples = samples;
    this.show();
  }

  /** Without points the curve is flat at this gain; with points all of them move. */
  setGain(gain) {
    const change = gain - this.gain;
    this.gain = gain;
    for (const point of this.points) point.db = clamp(point.db + change, LOWEST, HIGHEST);
    this.show();
  }

  flatten() {
    this.points = [];
    this.show();
    this.dispatchEvent(new Event("change"));
  }

  /** The request's fields: a curve, or one gain. */
  fields() {
    if (this.points.length === 0) return this.gain === 0 ? [] : [["gain_db", String(this.gain)]];
    const sorted = this.#sorted().map(({ at, db }) => [Number(at.toFixed(3)), Number(db.toFixed(1))]);
    return [["automation", JSON.stringify(sorted.filter(([at], index) => index === 0 || at > sorted[index - 1][0]))]];
  }

  showAt(seconds) {
    this.node.style.setProperty("--at", `${(100 * seconds) / (this.seconds || 1)}%`);
  }

  show() {
    if (!this.seconds) return;
    if (this.samples) draw(this.canvas, this.samples, { gain: 1, from: 0, to: 1 });
    const { clientWidth: width, clientHeight: height } = this.node;
    const y = (db) => ((HIGHEST - db) / (HIGHEST - LOWEST)) * height;
    const sorted = this.points.length ? this.#sorted() : [{ at: 0, db: this.gain }];
    const places = [[0, y(sorted[0].db)], ...sorted.map(({ at, db }) => [(at / this.seconds) * width, y(db)]), [width, y(sorted.at(-1).db)]];
    this.line.ownerSVGElement.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.line.setAttribute("points", places.map((place) => place.join(",")).join(" "));
    this.holder.replaceChildren(...this.points.map((point) => this.#button(point)));
  }

  #sorted() {
    return [...this.points].sort((one, other) => one.at - other.at);
  }

  #button(point) {
    point.button ??= this.#newButton(point);
    const { button } = point;
    button.style.setProperty("--x", `${(100 * point.at) / this.seconds}%`);
    button.style.setProperty("--y", `${(100 * (HIGHEST - point.db)) / (HIGHEST - LOWEST)}%`);
    button.classList.toggle("low", point.db > 0);
    const words = `${decibels(Math.round(point.db))} at ${point.at.toFixed(1)} s`;
    button.setAttribute("aria-label", `Point: ${words}`);
    button.firstElementChild.textContent = words;
    return button;
  }

  #newButton(point) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "point" });
    button.append(document.createElement("output"));
    button.addEventListener("keydown", (event) => {
      if (event.key === "Delete" || event.key === "Backspace") this.#remove(point);
      else if (event.key in KEYS) this.#moveTo(point, point.at + KEYS[event.key][0], point.db + KEYS[event.key][1], true);
      else return;
      event.preventDefault();
    });
    button.addEventListener("dblclick", () => this.#remove(point));
    return button;
  }

  #remove(point) {
    this.points = this.points.filter((other) => other !== point);
    this.show();
    this.dispatchEvent(new Event("change"));
  }

  #press(event) {
    if (event.button !== 0 || !this.seconds) return;
    let point = this.points.find(({ button }) => button === event.target.closest(".point"));
    if (!point) {
      point = { at: 0, db: 0 };
      this.points.push(point);
      this.#drag(point, event);
    }
    const move = (moved) => this.#drag(point, moved);
    const release = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", release);
      point.button?.focus();
      this.dispatchEvent(new Event("change"));
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", release);
    event.preventDefault();
  }

  #drag(point, event) {
    const { left, top, width, height } = this.node.getBoundingClientRect();
    const share = (event.clientY - top) / height;
    this.#moveTo(point, ((event.clientX - left) / width) * this.seconds, HIGHEST - share * (HIGHEST - LOWEST));
  }

  #moveTo(point, at, db, tell = false) {
    point.at = clamp(at, 0, this.seconds);
    point.db = clamp(db, LOWEST, HIGHEST);
    this.show();
    if (!tell) return;
    point.button.focus();
    this.dispatchEvent(new Event("change"));
  }
}
