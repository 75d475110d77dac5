// Before and after in one frame, with a divider that is dragged or moved by the arrow keys.

const STEP = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

export class Compare {
  constructor(figure) {
    this.figure = figure;
    this.before = figure.querySelector(".before");
    this.after = figure.querySelector(".after");
    this.divider = figure.querySelector(".divider");
    this.split = 50;
    figure.addEventListener("pointerdown", (event) => this.#grab(event));
    figure.addEventListener("pointermove", (event) => {
      if (figure.hasPointerCapture(event.pointerId)) this.#moveTo(event.clientX);
    });
    this.divider.addEventListener("keydown", (event) => {
      if (!(event.key in STEP)) return;
      event.preventDefault();
      this.#set(this.split + STEP[event.key]);
    });
  }

  /** Shows the picture as given and forgets the result. */
  async showBefore(address) {
    this.clear();
    this.before.src = address;
    await this.before.decode();
    const { naturalWidth: width, naturalHeight: height } = this.before;
    this.figure.style.setProperty("--ratio", width / height);
    this.figure.style.setProperty("--width", width);
    return { width, height };
  }

  /** Lays the result over the picture once it is decoded, so that nothing flickers. */
  async showAfter(address) {
    const next = new Image();
    next.src = address;
    await next.decode();
    this.after.src = address;
    await this.after.decode();
    if (this.after.hidden) this.#set(50);
    this.#compare(true);
  }

  clear() {
    this.#compare(false);
  }

  #compare(on) {
    this.figure.classList.toggle("comparing", on);
    for (const part of [this.after, this.divider, ...this.figure.querySelectorAll(".tag")]) part.hidden = !on;
  }

  #grab(event) {
    if (this.after.hidden || event.button !== 0) return;
    this.figure.setPointerCapture(event.pointerId);
    this.divider.focus({ preventScroll: true });
    this.#moveTo(event.clientX);
    event.preventDefault();
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
