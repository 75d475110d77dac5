// Before and after in one frame: with a divider that is dragged or moved by the arrow keys, or side by side.

import { find } from "../shared/dom.js";
import { View } from "./view.js";

const STEP = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
const TAGS = { result: "After", preview: "Preview", stale: "Old settings" };

export class Compare {
  constructor(figure) {
    this.figure = figure;
    this.before = figure.querySelector(".before");
    this.layer = figure.querySelector(".layer-after");
    this.after = figure.querySelector(".after");
    this.canvas = figure.querySelector(".blend");
    this.divider = figure.querySelector(".divider");
    this.tag = figure.querySelector(".tag-after");
    this.note = figure.querySelector(".viewer-note");
    this.view = new View(figure);
    this.split = 50;
    this.side = false;
    this.#listen();
    this.#listenToTools();
  }

  /** Shows the photo at the address, and forgets the result. Throws, and changes nothing, if it cannot be shown. */
  async showBefore(address) {
    const photo = new Image();
    photo.src = address;
    await photo.decode();
    this.clear();
    this.before.src = address;
    this.before.hidden = false;
    this.note.hidden = true;
    this.view.open(photo.naturalWidth, photo.naturalHeight);
    return photo;
  }

  /** A photo that this browser cannot show, or that is not at hand: only results will be seen. */
  showNoBefore(words) {
    this.clear();
    this.before.removeAttribute("src");
    this.before.hidden = true;
    this.note.textContent = words;
    this.note.hidden = false;
    this.view.open(960, 640);
  }

  /** Lays the result over the photo once it is decoded, so that nothing flickers. */
  async showAfter(address) {
    const next = new Image();
    next.src = address;
    await next.decode();
    const first = this.layer.hidden;
    this.after.src = address;
    await this.after.decode();
    if (this.before.hidden) this.#openFor(next.naturalWidth, next.naturalHeight);
    this.after.hidden = false;
    this.canvas.hidden = true;
    this.#show("result", first);
  }

  /** Shows the canvas, on which a result is blended of previews. */
  showBlend() {
    const first = this.layer.hidden;
    if (this.before.hidden && this.after.hidden) this.#openFor(this.canvas.width, this.canvas.height);
    this.canvas.hidden = false;
    this.after.hidden = true;
    this.#show("preview", first);
  }

  /** What is shown does not belong to the settings any more. */
  markStale() {
    if (!this.layer.hidden) this.#tagAs("stale");
  }

  clear() {
    this.layer.hidden = this.after.hidden = this.canvas.hidden = this.divider.hidden = true;
    this.figure.querySelectorAll(".tag").forEach((tag) => (tag.hidden = true));
    this.figure.classList.remove("comparing");
  }

  #openFor(width, height) {
    const { picture } = this.view;
    if (picture.width !== width || picture.height !== height) this.view.open(width, height);
  }

  #show(state, first) {
    const both = !this.before.hidden;
    if (first) this.#set(50);
    this.layer.hidden = false;
    this.note.hidden = true;
    this.divider.hidden = !both || this.side;
    this.figure.querySelector(".tag-before").hidden = !both;
    this.figure.classList.toggle("comparing", both);
    this.figure.classList.toggle("alone", !both);
    this.tag.hidden = false;
    this.#tagAs(state);
  }

  #tagAs(state) {
    this.tag.textContent = TAGS[state];
    this.figure.dataset.shows = state;
  }

  #listen() {
    const { figure, view } = this;
    let held = null; // "divider", "picture" or null
    let last = null;
    figure.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (view.pinch(event, true)) return (held = null);
      if (figure.classList.contains("comparing") && !this.side && (event.target === this.divider || !view.zoomed)) held = "divider";
      else held = view.zoomed ? "picture" : null;
      if (!held) return;
      figure.setPointerCapture(event.pointerId);
      last = event;
      if (held === "divider") {
        this.divider.focus({ preventScroll: true });
        this.#moveTo(event.clientX);
      } else {
        figure.focus({ preventScroll: true });
      }
      event.preventDefault();
    });
    figure.addEventListener("pointermove", (event) => {
      if (view.pinch(event, false) || !held) return;
      if (held === "divider") this.#moveTo(event.clientX);
      else view.panBy(event.clientX - last.clientX, event.clientY - last.clientY);
      last = event;
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      figure.addEventListener(name, (event) => {
        view.release(event);
        held = null;
      });
    }
    this.divider.addEventListener("keydown", (event) => {
      if (!(event.key in STEP)) return;
      event.preventDefault();
      this.#set(this.split + STEP[event.key]);
    });
  }

  #listenToTools() {
    const { view } = this;
    find("#zoom-in").addEventListener("click", () => view.zoomBy(1));
    find("#zoom-out").addEventListener("click", () => view.zoomBy(-1));
    find("#zoom-fit").addEventListener("click", () => view.fit());
    find("#zoom-actual").addEventListener("click", () => view.actual());
    find("#view-slider").addEventListener("click", () => this.#setSide(false));
    find("#view-side").addEventListener("click", () => this.#setSide(true));
    view.addEventListener("change", () => {
      find("#zoom").textContent = `${Math.round(view.scale * devicePixelRatio * 100)} %`;
      find("#zoom-fit").setAttribute("aria-pressed", view.fitted);
      find("#zoom-actual").setAttribute("aria-pressed", Math.abs(view.scale * devicePixelRatio - 1) < 1e-3);
    });
  }

  #setSide(side) {
    this.side = side;
    this.figure.classList.toggle("side", side);
    this.divider.hidden = side || this.layer.hidden || this.before.hidden;
    find("#view-slider").setAttribute("aria-pressed", !side);
    find("#view-side").setAttribute("aria-pressed", side);
  }

  #moveTo(clientX) {
    const { left, width } = this.figure.getBoundingClientRect();
    this.#set(((clientX - left) / width) * 100);
  }

  #set(percent) {
    this.split = Math.min(100, Math.max(0, percent));
    this.figure.style.setProperty("--split", `${this.split}%`);
    this.divider.setAttribute("aria-valuenow", Math.round(this.split));
    this.divider.setAttribute("aria-valuetext", `${Math.round(this.split)} % before`);
  }
}
