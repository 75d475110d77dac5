// The video page's wiring: a video and a curve become a request, the request a job, the job a video beside the first.

import { cancelJob, fetchModels, follow, openable, Problem, submit } from "./api.js";
import { Curve } from "./curve.js";
import { decibels, sentence, showHeard, showProgressBar, showSweep } from "./report.js";
import { Screens } from "./screens.js";
import { decode } from "./waveform.js";

const MOST_DECODED_BYTES = 300e6; // beyond it the curve has no waveform behind it
const find = (selector) => document.querySelector(selector);
const curve = new Curve(find("#curve"));
const screens = new Screens(document, (seconds) => curve.showAt(seconds));
const sliders = { gain: find("#gain"), strength: find("#strength"), smoothing: find("#smoothing") };
let video = null;
let running = null;

function fieldsNow() {
  const fields = [["video", video], ...curve.fields()];
  const sound = find("#sound-input").files[0];
  if (sound) fields.push(["audio", sound]);
  if (sliders.strength.value !== "1") fields.push(["strength", sliders.strength.value]);
  if (sliders.smoothing.value !== "0.5") fields.push(["smoothing_seconds", sliders.smoothing.value]);
  if (find("#max-side").value) fields.push(["max_side", find("#max-side").value]);
  return fields;
}

async function run(route, show) {
  if (!video) return;
  running?.abort();
  const mine = (running = new AbortController());
  const began = performance.now();
  showProblem(null);
  showProgress({ done: 0, total: 0 }, "Sending …");
  find("#cancel").hidden = false;
  let job = null;
  mine.signal.addEventListener("abort", () => job && cancelJob(job.id));
  try {
    job = await submit(fieldsNow(), mine.signal, route);
    await show(await follow(job, (now) => showJob(now, began), mine.signal), mine.signal);
    find("#status").textContent += ` Done in ${((performance.now() - began) / 1000).toFixed(1)} s.`;
  } catch (error) {
    find("#status").textContent = mine.signal.aborted ? "Cancelled." : "";
    if (!mine.signal.aborted) showProblem(error instanceof Problem ? error : new Problem({ title: "The page failed", detail: error.message }));
  } finally {
    if (running === mine) {
      running = null;
      find("#progress").hidden = find("#cancel").hidden = true;
    }
  }
}

async function showVideo(job, signal) {
  const [result] = job.results;
  const [address] = await openable([result.url], "video", signal);
  await screens.showAfter(address);
  const suffix = result.media_type === "video/webm" ? "webm" : "mp4";
  const name = `${video.name.replace(/\.[^.]*$/, "") || "video"}-stylized.${suffix}`;
  Object.assign(find("#download"), { hidden: false, href: address, download: name });
  showHeard(find("#heard"), result.heard);
  const { limited_db: limited, gain_applied_db: gain } = result.receipt.soundtrack;
  const words = gain === null ? "" : `Soundtrack ${decibels(gain)}${limited > 0.1 ? `, held down by ${limited} dB so that it does not clip` : ""}.`;
  find("#status").textContent = words;
}

async function showPreview(job, signal) {
  const frames = job.results.slice(1);
  const addresses = await openable(frames.map(({ url }) => url), "preview", signal);
  const shown = frames.map(({ gain_db: gain }, index) => ({ address: addresses[index], gain }));
  const mark = showSweep(find("#sweep"), shown, (index) => {
    mark(index);
    window.open(shown[index].address, "_blank", "noopener");
  });
  const { frames: count, seconds_on_one_worker: seconds } = job.results[0].receipt.estimate;
  find("#status").textContent = `The whole video (${count} frames) would take about ${Math.ceil(seconds)} s on one worker.`;
}

function showJob(job, began) {
  const { done, total, unit } = job.progress;
  if (job.state === "queued") return showProgress(null, "Waiting for a worker …");
  if (job.state !== "running") return;
  const left = done > 0 ? ((performance.now() - began) / 1000 / done) * (total - done) : null;
  showProgress(job.progress, `${done} of ${total} ${unit}${left === null ? "" : `, about ${Math.ceil(left)} s left`}`);
}

function showProgress(progress, words) {
  showProgressBar(find("#progress"), progress, true);
  find("#status").textContent = words;
}

function showProblem(problem) {
  const box = find("#problem");
  box.hidden = !problem;
  if (!problem) return;
  box.querySelector("strong").textContent = problem.title;
  box.querySelector("p").textContent = problem.detail ? sentence(problem.detail) : "";
  box.scrollIntoView({ block: "nearest" });
}

function showSliders() {
  const { gain, strength, smoothing } = sliders;
  find("#gain-value").textContent = decibels(Number(gain.value));
  find("#strength-value").textContent = `${Math.round(strength.value * 100)} %`;
  find("#smoothing-value").textContent = `${smoothing.value} s`;
  for (const slider of Object.values(sliders)) {
    slider.style.setProperty("--fill", `${(100 * (slider.value - slider.min)) / (slider.max - slider.min)}%`);
  }
}

async function chooseVideo(file) {
  if (!file) return;
  running?.abort();
  showProblem(null);
  video = file;
  const address = URL.createObjectURL(file);
  find("#video-drop").hidden = true;
  find("#screens").hidden = find("#transport").hidden = find("#stage-foot").hidden = find("#curve-card").hidden = false;
  find("#download").hidden = find("#heard").hidden = find("#sweep").hidden = true;
  find("#video-name").textContent = file.name;
  find("#go").disabled = find("#go-preview").disabled = false;
  find("#ready-hint").hidden = true;
  sliders.gain.value = 0;
  showSliders();
  try {
    const { width, height, seconds } = await screens.open(address);
    find("#status").textContent = `${width} × ${height}, ${seconds.toFixed(1)} s`;
    curve.begin(seconds);
    if (file.size > MOST_DECODED_BYTES) return;
    const sound = await decode(file).catch(() => null); // without a soundtrack there is nothing to draw
    if (sound && video === file) curve.showSound(sound.samples);
  } catch {
    find("#screens").hidden = find("#transport").hidden = find("#curve-card").hidden = true;
    find("#status").textContent = "This browser cannot play the video; the service may still read it.";
  }
}

find("#video-input").addEventListener("change", (event) => {
  chooseVideo(event.target.files[0]);
  event.target.value = "";
});
const stage = find(".stage");
stage.addEventListener("dragover", (event) => event.preventDefault());
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  chooseVideo(event.dataTransfer.files[0]);
});
sliders.gain.addEventListener("input", () => curve.setGain(Number(sliders.gain.value)));
for (const slider of Object.values(sliders)) slider.addEventListener("input", showSliders);
find("#flatten").addEventListener("click", () => curve.flatten());
find("#cancel").addEventListener("click", () => running?.abort());
find("#settings").addEventListener("submit", (event) => {
  event.preventDefault();
  run("stylize/video", showVideo);
});
find("#go-preview").addEventListener("click", () => run(`stylize/video?preview=true&at_seconds=${screens.before.currentTime.toFixed(3)}`, showPreview));
showSliders();
fetchModels().catch((error) => showProblem(error instanceof Problem ? error : new Problem({ title: "The page failed", detail: error.message })));
// chosen while this script was still on its way
for (const input of document.querySelectorAll("input[type=file]")) if (input.files.length) input.dispatchEvent(new Event("change"));
