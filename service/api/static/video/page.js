// The video page's wiring: a video and a curve become a request, the request a job, the job a video beside the first.

import { fetchModels, openable, perform } from "../shared/api.js";
import { element, fillTrack, find } from "../shared/dom.js";
import { kindOf, takeFiles } from "../shared/drops.js";
import { offerSounds } from "../shared/examples.js";
import { showHeard } from "../shared/heard.js";
import { asProblem, Problem, showProblem } from "../shared/problem.js";
import { Progress } from "../shared/progress.js";
import { stopSending } from "../shared/sending.js";
import { read, remove } from "../shared/store.js";
import { refusal, upload } from "../shared/uploads.js";
import { about, decibels, kindAndSize, percent } from "../shared/words.js";
import { Sounds } from "../sound/sounds.js";
import { decode } from "../sound/waveform.js";
import { Curve } from "./curve.js";
import { Notice } from "./notice.js";
import { Screens } from "./screens.js";

const MOST_DECODED_BYTES = 300e6; // beyond it the curve has no waveform behind it
const SILENT_PEAK = 1e-3;
const FAULTS = { video: ".stage", audio: "#lanes", gain_db: "#gain", automation: "#curve", max_side: "#max-side" };

const curve = new Curve(find("#curve"));
const screens = new Screens(document, (seconds) => curve.showAt(seconds));
const sounds = new Sounds(document, 1);
const progress = new Progress(() => running?.abort());
const notice = new Notice();
const sliders = { gain: find("#gain"), strength: find("#strength"), smoothing: find("#smoothing"), second: find("#second-gain") };
let video = null;
let still = false; // whether it is a photo, which follows the second sound
let silent = false; // as far as this browser can tell
let running = null;

function fieldsNow() {
  const fields = [[still ? "image" : "video", video], ...curve.fields(), ...sounds.files.map((file) => ["audio", file])];
  if (!still && sounds.files.length > 0 && sliders.second.value !== "0") fields.push(["audio_gain_db", sliders.second.value]);
  if (sliders.strength.value !== "1") fields.push(["strength", sliders.strength.value]);
  if (sliders.smoothing.value !== "0.5") fields.push(["smoothing_seconds", sliders.smoothing.value]);
  if (find("#max-side").value) fields.push(["max_side", find("#max-side").value]);
  return fields;
}

/** show(job, signal) resolves to what the status says then. */
async function run(route, show, done) {
  if (!video) return;
  running?.abort();
  const mine = (running = new AbortController());
  const before = find("#status").textContent;
  let words = before;
  let told = null;
  showProblem(null);
  progress.begin();
  notice.begin();
  try {
    const job = await perform(fieldsNow(), mine.signal, followJob, route);
    words = `${await show(job, mine.signal)} Made in ${progress.seconds.toFixed(1)} s.`;
    told = done;
  } catch (error) {
    if (mine.signal.aborted || error.name === "AbortError") words = "Cancelled";
    else {
      told = "The video could not be made";
      showProblem(asProblem(error), FAULTS);
    }
  } finally {
    if (running === mine) {
      running = null;
      progress.end(words);
      notice.end(told);
    }
  }
}

function followJob(job) {
  const left = progress.follow(job);
  notice.follow(job, left);
}

async function showVideo(job, signal) {
  const [result] = job.results;
  const [address] = await openable([result.url], "video", signal);
  await (still ? screens.open(address) : screens.showAfter(address));
  for (const id of ["#screens", "#transport"]) find(id).hidden = false;
  find("#still").hidden = true;
  Object.assign(find("#download"), { hidden: false, href: address, download: result.file_name });
  find("#download-kind").textContent = kindAndSize(result.media_type, result.bytes);
  showHeard(find("#heard"), result.heard);
  const { limited_db: limited, gain_applied_db: gain } = result.receipt.soundtrack;
  const held = limited > 0.1 ? `, held down by ${decibels(limited).slice(1)} so that it does not clip` : "";
  return gain === null ? "" : `Soundtrack ${decibels(gain)}${held}.`;
}

async function showPreview(job, signal) {
  const frames = job.results.slice(1);
  const addresses = await openable(frames.map(({ url }) => url), "preview", signal);
  const buttons = frames.map(({ gain_db: gain }, index) => previewButton(addresses[index], gain));
  find("#sweep ol").replaceChildren(...buttons.map((button) => element("li", {}, button)));
  find("#sweep").hidden = false;
  const { frames: count, seconds_on_one_worker: seconds } = job.results[0].receipt.estimate;
  return `The whole video has ${count} frames and takes ${about(seconds)}.`;
}

function previewButton(address, gain) {
  const button = element("button", { type: "button" }, element("img", { src: address, alt: "" }), element("span", {}, decibels(gain)));
  button.setAttribute("aria-label", `Use ${decibels(gain)}`);
  button.setAttribute("aria-pressed", gain === Number(sliders.gain.value));
  button.addEventListener("click", () => {
    for (const other of find("#sweep").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    sliders.gain.value = gain;
    curve.setGain(Number(sliders.gain.value));
    showSliders();
  });
  return button;
}

function showSliders() {
  const { gain, strength, smoothing, second } = sliders;
  find("#gain-value").textContent = decibels(Number(gain.value));
  find("#strength-value").textContent = percent(strength.value);
  find("#smoothing-value").textContent = `${smoothing.value} s`;
  find("#second-gain-value").textContent = decibels(Number(second.value));
  for (const slider of [gain, second]) slider.setAttribute("aria-valuetext", decibels(Number(slider.value)));
  for (const slider of Object.values(sliders)) fillTrack(slider);
  sounds.setGain(10 ** (second.value / 20));
}

/** Says what is missing: a video, or a sound for a silent one. */
function showReady() {
  const mute = silent && sounds.files.length === 0;
  find("#second-gain-row").hidden = still || sounds.files.length === 0;
  find("#go").disabled = !video;
  find("#go-preview").disabled = !video || still;
  find("#ready-hint").hidden = Boolean(video) && !mute;
  find("#ready-hint").textContent = mute ? (still ? "Add the sound that the photo is to follow." : "Add a sound: the video seems to have none.") : "Choose a video to begin.";
  find("#silent").hidden = !mute;
  find("#silent").textContent = still ? "A photo becomes a video that follows a sound. Add that sound below." : "No sound was found in this video, so nothing would change. Add a second sound below to drive it.";
}

/** Takes the video, or says why not and leaves everything as it is. */
async function chooseVideo(file) {
  const photo = kindOf(file) === "image";
  let opened = null;
  try {
    if (photo) throw new Error("nothing to play");
    opened = await screens.open(URL.createObjectURL(file));
  } catch {
    const problem = await refusal(file, photo ? "image" : "video");
    if (problem) return showProblem(problem, FAULTS);
    screens.close();
  }
  running?.abort();
  if (video && video !== file) stopSending(video);
  showProblem(null);
  video = file;
  silent = still = photo;
  sliders.gain.value = 0;
  showSliders();
  find("#video-drop").hidden = true;
  find("#stage-foot").hidden = false;
  for (const id of ["#screens", "#transport", "#curve-card"]) find(id).hidden = !opened;
  for (const id of ["#download", "#heard", "#sweep"]) find(id).hidden = true;
  find("#unplayable").hidden = photo || Boolean(opened);
  find("#still").hidden = !photo;
  find("#before + figcaption").textContent = photo ? "Result" : "As given";
  if (photo) find("#still").src = URL.createObjectURL(file);
  find("#unplayable").textContent = `This browser cannot play ${file.name}. The service may still read it: try “Preview here” or “Stylize”.`;
  find("#video-name").textContent = find("#video-name").title = file.name;
  progress.end(opened ? `${opened.width} × ${opened.height}, ${opened.seconds.toFixed(1)} s` : "");
  curve.begin(opened?.seconds ?? 0);
  showReady();
  // sent while the curve is drawn; why it is refused is said now, and not only when it is asked for
  refusal(file, photo ? "image" : "video").then((found) => found && video === file && showProblem(found, FAULTS));
  if (!photo) await listenTo(file);
}

/** Whether the service finds no sound in the video. */
async function isMute(file) {
  const known = await upload(file).catch(() => null);
  return known?.video != null && known.audio === null;
}

/** Draws the soundtrack, or says that there seems to be none. */
async function listenTo(file) {
  const sound = file.size > MOST_DECODED_BYTES ? null : await decode(file).catch(() => null);
  if (video !== file) return;
  if (sound) curve.showSound(sound.samples);
  silent = sound ? sound.samples.every((sample) => Math.abs(sample) < SILENT_PEAK) : await isMute(file);
  if (video === file) showReady();
}

takeFiles(
  async ({ image, audio, video: videos, other }) => {
    const [file] = [...videos, ...image];
    if (file) await chooseVideo(file);
    if (audio.length > 0) sounds.add(audio);
    if (other.length > 0) showProblem(new Problem({ title: "This file cannot be used", detail: `${other[0].name} is neither a video, a photo nor a sound.` }));
  },
  () => showProblem(new Problem({ title: "Addresses are not fetched", detail: "Save the file on this computer, then drop or paste the file itself." })),
);
find("#video-input").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) await chooseVideo(file);
});
sounds.addEventListener("change", showReady);
sounds.addEventListener("problem", ({ detail }) => showProblem(new Problem(detail)));
sliders.gain.addEventListener("input", () => curve.setGain(Number(sliders.gain.value)));
for (const slider of Object.values(sliders)) slider.addEventListener("input", showSliders);
find("#add-point").addEventListener("click", () => curve.addPoint());
find("#flatten").addEventListener("click", () => curve.flatten());
find("#settings").addEventListener("submit", (event) => {
  event.preventDefault();
  run("stylize/video", showVideo, "The video is done");
});
find("#go-preview").addEventListener("click", () => {
  const at = screens.before.currentTime > 0 ? `&at_seconds=${screens.before.currentTime.toFixed(3)}` : "";
  run(`stylize/video?preview=true${at}`, showPreview, "The preview is done");
});

showSliders();
showReady();
offerSounds(find("#sound-examples"), sounds, 1);
fetchModels().catch((error) => showProblem(asProblem(error)));
// chosen while this script was still on its way
for (const input of document.querySelectorAll("input[type=file]")) if (input.files.length) input.dispatchEvent(new Event("change"));
const handedOver = await read("session", "handed over");
if (handedOver) {
  await remove("session", "handed over");
  if (!video) await chooseVideo(handedOver);
}
