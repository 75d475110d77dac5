// What the dials would give, blended from a few small results, so that they answer without the service.

const SILENT_DB = -60; // where the photo stays as it is
export const STEPS_DB = [-36, -24, -12, 0, 12];

/**
 * Shares of a mix as a blend of equal mixes: [[sounds, share], ...], where `sounds` are indices in their order.
 * Sorted by share, w = (w1 - w2) {1} + 2 (w2 - w3) {1, 2} + ...: as many equal mixes as there are sounds, at most.
 */
export function equalMixes(shares) {
  const order = shares.map((_, index) => index).sort((one, other) => shares[other] - shares[one]);
  return order
    .map((_, rank) => [order.slice(0, rank + 1).sort(), (rank + 1) * (shares[order[rank]] - (shares[order[rank + 1]] ?? 0))])
    .filter(([, share]) => share > 1e-6);
}

/** All that `equalMixes` may name, the whole mix first. */
export function allMixes(count) {
  const mixes = Array.from({ length: 2 ** count - 1 }, (_, bits) => [...Array(count).keys()].filter((index) => ((bits + 1) >> index) & 1));
  return mixes.sort((one, other) => other.length - one.length);
}

/** The two steps around a gain: [[index of the step or -1 for silence, share], ...]. */
function around(gain) {
  const places = [SILENT_DB, ...STEPS_DB];
  const clamped = Math.min(places.at(-1), Math.max(SILENT_DB, gain));
  const upper = Math.max(1, places.findIndex((place) => place >= clamped));
  const share = (clamped - places[upper - 1]) / (places[upper] - places[upper - 1]);
  return [[upper - 2, 1 - share], [upper - 1, share]].filter(([, part]) => part > 1e-6);
}

export class Live {
  constructor(canvas) {
    this.canvas = canvas;
    this.frames = 0;
    this.forget();
  }

  forget() {
    this.stopping?.abort();
    this.stopping = null;
    this.photo = null;
    this.mixes = new Map();
  }

  /**
   * Has the small results made, the whole mix first. photo: an image of them at strength 0.
   * request(sounds, signal) resolves to [{image, heard}, ...], one for each of STEPS_DB. onReady is called after each.
   */
  async prepare(photo, count, request, onReady) {
    this.forget();
    const { signal } = (this.stopping = new AbortController());
    this.photo = photo;
    for (const sounds of allMixes(count)) {
      const steps = await request(sounds, signal);
      if (signal.aborted) return;
      this.mixes.set(sounds.join(), steps);
      onReady();
    }
  }

  /** Whether everything is there that these shares need. */
  isReady(shares) {
    return equalMixes(shares).every(([sounds]) => this.mixes.has(sounds.join()));
  }

  /** [image, share] pairs whose blend is the result; the shares add up to 1. */
  #layers({ gain, strength, shares }) {
    const layers = [];
    let ofPhoto = 1 - strength;
    for (const [sounds, share] of equalMixes(shares)) {
      for (const [step, part] of around(gain)) {
        if (step < 0) ofPhoto += strength * share * part;
        else layers.push([this.mixes.get(sounds.join())[step].image, strength * share * part]);
      }
    }
    return ofPhoto > 1e-6 ? [[this.photo, ofPhoto], ...layers] : layers;
  }

  draw(dials) {
    const [{ image }] = this.mixes.values().next().value;
    if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
      Object.assign(this.canvas, { width: image.width, height: image.height });
    }
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    pen.globalAlpha = 1;
    pen.clearRect(0, 0, width, height);
    let sum = 0;
    for (const [layer, share] of this.#layers(dials)) {
      if (share <= 0) continue;
      sum += share;
      pen.globalAlpha = share / sum; // so that in the end each has its share
      pen.drawImage(layer, 0, 0, width, height);
    }
    this.frames += 1;
    this.canvas.dataset.frames = this.frames;
  }

  /** What would be heard, from the reports of the same steps. */
  heard({ gain, shares }) {
    let effect = 0;
    let most = 0;
    let nearest = null;
    for (const [sounds, share] of equalMixes(shares)) {
      for (const [step, part] of around(gain)) {
        if (step < 0) continue;
        const { heard } = this.mixes.get(sounds.join())[step];
        effect += share * part * heard.effect;
        if (share * part < most) continue;
        most = share * part;
        nearest = { ...heard, loudness_dbfs: heard.loudness_dbfs + gain - STEPS_DB[step] };
      }
    }
    const report = nearest ?? { ...this.mixes.values().next().value[0].heard, loudness_dbfs: -120 };
    return { ...report, effect };
  }
}
