// The video as given and its stylization, played in step by one set of controls.

import { clock } from "../shared/words.js";

const APART_SECONDS = 0.06;

export class Screens {
  /** onTime(seconds) is called as the position moves. */
  constructor(root, onTime) {
    this.before = root.querySelector("#before");
    this.after = root.querySelector("#after");
    this.figure = root.querySelector("#after-figure");
    this.button = root.querySelector("#play");
    this.seek = root.querySelector("#seek");
    this.clock = root.querySelector("#clock");
    this.onTime = onTime;
    this.button.addEventListener("click", () => this.toggle());
    this.seek.addEventListener("input", () => this.#goTo(Number(this.seek.value)));
    for (const video of [this.before, this.after]) {
      video.addEventListener("ended", () => this.pause());
      video.addEventListener("click", () => this.toggle());
    }
  }

  /** The one that is heard. */
  get leader() {
    return this.figure.hidden ? this.before : this.after;
  }

  /** Shows the video at the address. Throws, and changes nothing, if the browser cannot play it. */
  async open(address) {
    const probe = document.createElement("video");
    await load(probe, address);
    this.close();
    await load(this.before, address);
    this.seek.max = this.before.duration;
    this.#goTo(0);
    return { width: this.before.videoWidth, height: this.before.videoHeight, seconds: this.before.duration };
  }

  /** Nothing is shown any more. */
  close() {
    this.pause();
    this.figure.hidden = true;
    this.after.removeAttribute("src");
    this.before.removeAttribute("src");
    this.before.muted = false;
  }

  async showAfter(address) {
    await load(this.after, address);
    this.figure.hidden = false;
    this.before.muted = true;
    this.#goTo(0);
  }

  toggle() {
    if (this.leader.paused) this.play();
    else this.pause();
  }

  async play() {
    if (this.leader.currentTime >= this.leader.duration - APART_SECONDS) this.#goTo(0);
    this.#showButton(true);
    const both = this.figure.hidden ? [this.before] : [this.before, this.after];
    await Promise.all(both.map((video) => video.play()));
    this.#follow();
  }

  pause() {
    this.before.pause();
    this.after.pause();
    this.#showButton(false);
  }

  #follow() {
    const { leader } = this;
    this.#showTime(leader.currentTime);
    if (leader === this.after && Math.abs(this.before.currentTime - leader.currentTime) > APART_SECONDS && !this.before.ended) {
      this.before.currentTime = leader.currentTime;
    }
    if (!leader.paused) requestAnimationFrame(() => this.#follow());
  }

  #goTo(seconds) {
    this.before.currentTime = seconds;
    if (!this.figure.hidden) this.after.currentTime = seconds;
    this.#showTime(seconds);
  }

  #showTime(seconds) {
    this.seek.value = seconds;
    this.seek.style.setProperty("--fill", `${(100 * seconds) / (this.before.duration || 1)}%`);
    this.clock.textContent = clock(seconds);
    this.onTime(seconds);
  }

  #showButton(playing) {
    this.button.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
  }
}

function load(video, address) {
  return new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error("the browser cannot play it"));
    video.preload = "auto";
    video.src = address;
    video.load();
  });
}
