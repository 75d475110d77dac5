// The page's wiring: inputs become a request, the request becomes a job, the job becomes a picture.

import { cancelJob, fetchModels, follow, openable, Problem, submit } from "./api.js";
import { curlCommand } from "./command.js";
import { Compare } from "./compare.js";
import { storedKey } from "./key.js";
import { decibels, sentence, showHeard, showProgressBar, showSweep } from "./report.js";
import { Sounds } from "./sounds.js";

const SWEEP_DB = [-40, -30, -20, -10, 0, 10];
const SETTLE_MS = 300;
const find = (selector) => document.querySelector(selector);

const compare = new Compare(find("#compare"));
const sounds = new Sounds(document);
const settings = Object.fromEntries(["gain", "strength", "max-side", "format", "model"].map((id) => [id, find(`#${id}`)]));
let picture = null;
let running = null;
let done = false;
let markSwept = () => {};
let timer;

// ---- what is asked

function fieldsNow(gains) {
  const fields = [["image", picture], ...sounds.fields()];
  if (gains) fields.push(["gains_db", gains.join(",")]);
  else if (settings.gain.value !== "0") fields.push(["gain_db", settings.gain.value]);
  if (settings.strength.value !== "1") fields.push(["strength", settings.strength.value]);
  if (settings["max-side"].value) fields.push(["max_side", settings["max-side"].value]);
  if (settings.format.value) fields.push(["format", settings.format.value]);
  if (settings.model.value) fields.push(["model", settings.model.value]);
  return fields;
}

async function stylize(gains = null) {
  if (!picture || sounds.lanes.length === 0) return;
  running?.abort();
  const mine = (running = new AbortController());
  const fields = fieldsNow(gains);
  const began = performance.now();
  showProblem(null);
  showCommand(fields);
  showProgress({ done: 0, total: 0 }, "Sending …");
  let job = null;
  mine.signal.addEventListener("abort", () => job && cancelJob(job.id));
  try {
    job = await submit(fields, mine.signal);
    const ended = await follow(job, showJob, mine.signal);
    await showResults(ended, fields, gains, began, mine.signal);
  } catch (error) {
    if (mine.signal.aborted) return;
    find("#status").textContent = "";
    showProblem(error instanceof Problem ? error : new Problem({ title: "The page failed", detail: error.message }));
  } finally {
    if (running === mine) {
      running = null;
      find("#progress").hidden = true;
    }
  }
}

/** After the first result every change of a setting is followed, once it settles. */
function followChange() {
  clearTimeout(timer);
  if (done) timer = setTimeout(() => stylize(), SETTLE_MS);
}

// ---- what is shown

function showJob(job) {
  if (job.state === "queued") showProgress(job.progress, "Waiting for a worker …");
  else if (job.state === "running") showProgress(job.progress, "Stylizing …");
}

function showProgress(progress, words) {
  showProgressBar(find("#progress"), progress);
  find("#status").textContent = words;
}

async function showResults(job, fields, gains, began, signal) {
  const urls = job.results.map((result) => result.url);
  const addresses = await openable(urls, gains ? "sweep" : "picture", signal);
  const show = async (index) => {
    await compare.showAfter(addresses[index]);
    Object.assign(find("#download"), { hidden: false, href: addresses[index], download: job.results[index].file_name });
    showHeard(find("#heard"), job.results[index].heard);
    sounds.showHeard(job.results[index].heard.windows);
    markSwept(index);
  };
  if (gains) {
    const swept = addresses.map((address, index) => ({ address, gain: gains[index] }));
    markSwept = showSweep(find("#sweep"), swept, (index) => {
      settings.gain.value = gains[index];
      showSliders();
      show(index);
    });
  } else {
    markSwept(-1);
  }
  await show(gains ? nearest(gains, Number(settings.gain.value)) : 0);
  done = true;
  find("#status").textContent = `Done in ${((performance.now() - began) / 1000).toFixed(2)} s`;
}

/** The index of the value nearest to `wanted`. */
function nearest(values, wanted) {
  const distances = values.map((value) => Math.abs(value - wanted));
  return distances.indexOf(Math.min(...distances));
}

function showProblem(problem) {
  const box = find("#problem");
  document.querySelectorAll(".at-fault").forEach((node) => node.classList.remove("at-fault"));
  box.hidden = !problem;
  if (!problem) return;
  box.querySelector("strong").textContent = problem.title;
  box.querySelector("p").textContent = problem.detail ? sentence(problem.detail) : "";
  const faults = { image: ".stage", audio: "#lanes", weights: "#lanes", start_seconds: "#lanes", gain_db: "#gain", gains_db: "#gain" };
  const node = find(faults[problem.field] ?? `#${(problem.field ?? "none").replaceAll("_", "-")}`);
  node?.classList.add("at-fault");
  box.scrollIntoView({ block: "nearest" });
}

function showCommand(fields) {
  find("#command").hidden = false;
  find("#command code").textContent = curlCommand(fields, new URL("stylize", location.href).href, storedKey() !== null);
}

function showSliders() {
  const { gain, strength } = settings;
  find("#gain-value").textContent = decibels(Number(gain.value));
  find("#strength-value").textContent = `${Math.round(strength.value * 100)} %`;
  gain.setAttribute("aria-valuetext", decibels(Number(gain.value)));
  for (const slider of [gain, strength]) {
    const share = (slider.value - slider.min) / (slider.max - slider.min);
    slider.style.setProperty("--fill", `${share * 100}%`);
  }
  sounds.setGain(10 ** (gain.value / 20));
}

function showReady() {
  const ready = Boolean(picture) && sounds.lanes.length > 0;
  find("#go").disabled = find("#go-sweep").disabled = !ready;
  const missing = picture ? "Choose a sound to go on." : sounds.lanes.length ? "Choose a photograph to go on." : null;
  find("#ready-hint").hidden = ready;
  find("#ready-hint").textContent = missing ?? "Choose a photograph and a sound to begin.";
}

function forgetSweep() {
  find("#sweep").hidden = true;
  markSwept = () => {};
}

// ---- what is chosen

async function choosePicture(file) {
  if (!file) return;
  running?.abort();
  const address = URL.createObjectURL(file);
  try {
    const { width, height } = await compare.showBefore(address);
    picture = file;
    find("#picture-drop").hidden = true;
    find(".stage").classList.add("chosen");
    find("#compare").hidden = find("#stage-foot").hidden = false;
    find("#picture-name").textContent = file.name;
    find("#status").textContent = `${width} × ${height}`;
    showProblem(null);
  } catch {
    showProblem(new Problem({ title: "Not a picture", detail: `${file.name} cannot be read as JPEG, PNG or WebP.`, field: "image" }));
    return;
  }
  find("#download").hidden = find("#heard").hidden = true;
  forgetSweep();
  showReady();
  followChange();
}

function takeDrops(target, onFiles) {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("dragging");
  });
  target.addEventListener("dragleave", () => target.classList.remove("dragging"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("dragging");
    onFiles(event.dataTransfer.files);
  });
}

async function showModels() {
  const models = await fetchModels();
  const list = models.models.filter(({ replaced }) => !replaced);
  settings.model.replaceChildren(new Option("default", ""), ...list.map(({ name }) => new Option(name, name)));
  const standard = list.find((model) => model.default) ?? list[0];
  if (!standard) return;
  if (standard.clip_seconds) sounds.setClip(standard.clip_seconds);
  find("#model-line").textContent = `Model ${standard.name} ${standard.version}`;
}

find("#picture-input").addEventListener("change", (event) => {
  choosePicture(event.target.files[0]);
  event.target.value = "";
});
takeDrops(find(".stage"), ([file]) => choosePicture(file));
takeDrops(find("#sound-drop"), (files) => sounds.add(files));
sounds.addEventListener("change", () => {
  forgetSweep();
  showReady();
  followChange();
});
sounds.addEventListener("problem", (event) => showProblem(new Problem(event.detail)));
for (const slider of [settings.gain, settings.strength]) slider.addEventListener("input", showSliders);
for (const control of Object.values(settings)) control.addEventListener("change", followChange);
settings.gain.addEventListener("dblclick", () => {
  settings.gain.value = 0;
  showSliders();
  followChange();
});
find("#settings").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  stylize();
});
find("#go-sweep").addEventListener("click", () => stylize(SWEEP_DB));
find("#copy").addEventListener("click", async ({ target }) => {
  await navigator.clipboard.writeText(find("#command code").textContent);
  target.textContent = "Copied";
  setTimeout(() => (target.textContent = "Copy"), 1500);
});
showSliders();
showReady();
showModels().catch((error) => showProblem(error instanceof Problem ? error : new Problem({ title: "The page failed", detail: error.message })));
// chosen while this script was still on its way
for (const input of document.querySelectorAll("input[type=file]")) if (input.files.length) input.dispatchEvent(new Event("change"));
