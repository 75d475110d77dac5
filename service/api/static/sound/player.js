// Plays a sound at the chosen gain; one sound at a time.

let current = null;

export class Player {
  constructor(address, onChange) {
    this.audio = new Audio(address);
    this.audio.preload = "metadata";
    this.onChange = onChange;
    this.gain = 1;
    for (const name of ["play", "pause", "ended"]) this.audio.addEventListener(name, () => this.#changed());
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  get seconds() {
    return this.audio.currentTime;
  }

  /** Plays from the beginning, or stops. */
  async toggle() {
    if (this.playing) return this.audio.pause();
    if (current !== this) current?.audio.pause();
    current = this;
    this.#connect();
    this.audio.currentTime = 0;
    await this.audio.play();
  }

  /** linear gain; `peak` is the sound's largest level: what is heard never goes beyond full scale. */
  setGain(gain, peak) {
    this.gain = Math.min(gain, 1 / Math.max(peak, 1e-3));
    if (this.node) this.node.gain.value = this.gain;
  }

  close() {
    this.audio.pause();
    this.context?.close();
  }

  #connect() {
    if (this.node) return;
    this.context = new AudioContext();
    this.node = this.context.createGain();
    this.node.gain.value = this.gain;
    this.context.createMediaElementSource(this.audio).connect(this.node).connect(this.context.destination);
  }

  #changed() {
    this.onChange();
    const tick = () => {
      this.onChange();
      if (this.playing) requestAnimationFrame(tick);
    };
    if (this.playing) requestAnimationFrame(tick);
  }
}
