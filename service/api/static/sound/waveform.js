// A sound as numbers: decoding, the loudest stretch, and the drawing of its waveform.

const RATE = 16000;

/** Decodes to mono samples at 16 kHz. Throws if the browser cannot read the format (the service may still). */
export async function decode(blob) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const buffer = await context.decodeAudioData(await blob.arrayBuffer());
  const mono = buffer.getChannelData(0).slice();
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += samples[i];
  }
  if (buffer.numberOfChannels > 1) for (let i = 0; i < mono.length; i++) mono[i] /= buffer.numberOfChannels;
  return { samples: mono, seconds: buffer.duration };
}

/** Where the loudest stretch of `length` seconds starts, to a tenth of a second. */
export function loudestStart(samples, length) {
  const hop = RATE / 10;
  const span = Math.round(length * 10);
  const energy = [0];
  for (let start = 0; start < samples.length; start += hop) {
    let sum = 0;
    for (let i = start; i < Math.min(start + hop, samples.length); i++) sum += samples[i] * samples[i];
    energy.push(energy.at(-1) + sum);
  }
  let best = 0;
  let most = -1;
  for (let i = 0; i + span < energy.length; i++) {
    const sum = energy[i + span] - energy[i];
    if (sum > most) [best, most] = [i / 10, sum];
  }
  return best;
}

/** The largest level in each of `count` equal stretches. */
export function peaks(samples, count) {
  const found = new Float32Array(count);
  for (let bar = 0; bar < count; bar++) {
    const end = Math.floor(((bar + 1) * samples.length) / count);
    for (let i = Math.floor((bar * samples.length) / count); i < end; i++) found[bar] = Math.max(found[bar], Math.abs(samples[i]));
  }
  return found;
}

/** Draws bars on the canvas; those between `from` and `to` (shares of the width) are used; beyond full scale they are capped. */
export function draw(canvas, samples, { gain, from, to }) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  const colours = getComputedStyle(canvas);
  pen.scale(scale, scale);
  const step = 4;
  const bars = peaks(samples, Math.floor(width / step));
  bars.forEach((peak, bar) => {
    const share = bar / bars.length;
    const level = peak * gain;
    const tall = Math.max(2, Math.min(1, level) ** 0.6 * (height - 12));
    const top = (height - tall) / 2;
    pen.fillStyle = colours.getPropertyValue(share >= from && share < to ? "--wave-used" : "--wave");
    pen.beginPath();
    pen.roundRect(bar * step, top, step - 1.5, tall, 1.25);
    pen.fill();
    if (level <= 1) return;
    pen.fillStyle = colours.getPropertyValue("--clip");
    pen.fillRect(bar * step, top - 3, step - 1.5, 3);
    pen.fillRect(bar * step, top + tall, step - 1.5, 3);
  });
}
