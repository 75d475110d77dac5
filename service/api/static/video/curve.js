// The curve of volume over time: points that are added, dragged, moved by keys and removed.

import { element } from "../shared/dom.js";
import { clock, decibels } from "../shared/words.js";
import { draw } from "../sound/waveform.js";

export const LOWEST = -60;
export const HIGHEST = 24;
const LEVELS = [24, 12, 0, -12, -24, -36, -48, -60];
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600]; // seconds between two
const TICK_PX = 64; // for the words of one
const NEAR_ZERO_DB = 1.5;
const NEAR_PX = 7;
const KEYS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], PageUp: [0, 6], PageDown: [0, -6] };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const within = (db) => clamp(db, LOWEST, HIGHEST);

/** An element at a share of the width or height. */
function placed(name, className, property, share, words) {
  const node = element(name, { className }, words);
  node.style.setProperty(property, `${100 * share}%`);
  return node;
}

export class Curve extends EventTarget {
  /** Events: `change`. */
  constructor(node) {
    super();
    this.node = node;
    this.plot = node.querySelector(".plot");
    this.canvas = node.querySelector("canvas");
    this.line = node.querySelector("polyline");
    this.holder = node.querySelector(".points");
    this.seconds = 0;
    this.samples = null;
    this.points = [];
    this.at = 0;
    node.querySelector(".levels").replaceChildren(...LEVELS.map((db) => placed("li", db === 0 ? "zero" : "", "--y", (HIGHEST - db) / (HIGHEST - LOWEST), decibels(db))));
    this.plot.addEventListener("pointerdown", (event) => this.#press(event));
    new ResizeObserver(() => this.show()).observe(this.plot);
  }

  /** A new video of that length: a flat curve at 0 dB. */
  begin(seconds) {
    Object.assign(this, { seconds, samples: null, points: [], gain: 0 });
    this.canvas.width = 0;
    this.show();
  }

  /** The times below the plot, as many as there is room for. */
  #showTimes(width) {
    const { seconds } = this;
    if (this.timesFor === `${seconds} ${width}`) return;
    this.timesFor = `${seconds} ${width}`;
    const step = TICKS.find((tick) => seconds / tick <= Math.max(1, width / TICK_PX)) ?? TICKS.at(-1);
    const times = Array.from({ length: Math.floor(seconds / step + 1e-6) + 1 }, (_, index) => index * step);
    const words = (at) => (step < 1 ? clock(at) : clock(at).slice(0, -2));
    this.node.querySelector(".times").replaceChildren(...times.map((at) => placed("li", at > 0.97 * seconds ? "last" : "", "--x", Math.min(1, at / seconds), words(at))));
  }

  /** Adds a point at the position of the video, where the curve is; it has the focus. */
  addPoint() {
    if (!this.seconds) return;
    const point = { at: this.at, db: this.#dbAt(this.at) };
    this.points.push(point);
    this.show();
    point.button.focus();
    this.dispatchEvent(new Event("change"));
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
    for (const point of this.points) point.db += change; // beyond the limits too, so that its way back keeps the shape
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
    const sorted = this.#sorted().map(({ at, db }) => [Number(at.toFixed(3)), Number(within(db).toFixed(1))]);
    return [["automation", JSON.stringify(sorted.filter(([at], index) => index === 0 || at > sorted[index - 1][0]))]];
  }

  showAt(seconds) {
    this.at = seconds;
    this.node.style.setProperty("--at", `${(100 * seconds) / (this.seconds || 1)}%`);
  }

  show() {
    if (!this.seconds) return;
    if (this.samples) draw(this.canvas, this.samples, { gain: 1, from: 0, to: 1 });
    const { clientWidth: width, clientHeight: height } = this.plot;
    this.#showTimes(width);
    const y = (db) => ((HIGHEST - within(db)) / (HIGHEST - LOWEST)) * height;
    const sorted = this.points.length ? this.#sorted() : [{ at: 0, db: this.gain }];
    const places = [[0, y(sorted[0].db)], ...sorted.map(({ at, db }) => [(at / this.seconds) * width, y(db)]), [width, y(sorted.at(-1).db)]];
    this.line.ownerSVGElement.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.line.setAttribute("points", places.map((place) => place.join(",")).join(" "));
    const buttons = this.points.map((point) => this.#button(point));
    const same = buttons.length === this.holder.children.length && buttons.every((button, index) => button === this.holder.children[index]);
    if (!same) this.holder.replaceChildren(...buttons); // which takes the focus away
  }

  #sorted() {
    return [...this.points].sort((one, other) => one.at - other.at);
  }

  #button(point) {
    point.button ??= this.#newButton(point);
    const { button } = point;
    button.style.setProperty("--x", `${(100 * point.at) / this.seconds}%`);
    button.style.setProperty("--y", `${(100 * (HIGHEST - within(point.db))) / (HIGHEST - LOWEST)}%`);
    button.classList.toggle("low", point.db > 0);
    const words = `${decibels(within(point.db))} at ${point.at.toFixed(1)} s`;
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
    const { left, top, width, height } = this.plot.getBoundingClientRect();
    let at = ((event.clientX - left) / width) * this.seconds;
    let db = HIGHEST - ((event.clientY - top) / height) * (HIGHEST - LOWEST);
    if (!event.altKey) {
      db = Math.abs(db) < NEAR_ZERO_DB ? 0 : Math.round(db);
      at = Math.abs(at - this.at) < (NEAR_PX * this.seconds) / width ? this.at : Math.round(at * 10) / 10;
    }
    this.#moveTo(point, at, db);
  }

  /** The curve's height there. */
  #dbAt(at) {
    const sorted = this.#sorted();
    if (sorted.length === 0) return this.gain;
    const after = sorted.findIndex((point) => point.at >= at);
    if (after === -1) return sorted.at(-1).db;
    if (after === 0) return sorted[0].db;
    const [one, other] = [sorted[after - 1], sorted[after]];
    return one.db + ((at - one.at) / (other.at - one.at)) * (other.db - one.db);
  }

  #moveTo(point, at, db, tell = false) {
    point.at = clamp(at, 0, this.seconds);
    point.db = within(db);
    this.show();
    if (tell) this.dispatchEvent(new Event("change"));
  }
}
