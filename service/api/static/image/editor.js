// The photo page's state: a photo, sounds and dials become a request, the request a result that is shown.

import { find } from "../shared/dom.js";
import { showHeard } from "../shared/heard.js";
import { asProblem, showProblem } from "../shared/problem.js";
import { Progress } from "../shared/progress.js";
import { stopSending } from "../shared/sending.js";
import { fileKey, keepFile, keptFile } from "../shared/store.js";
import { refusal, upload } from "../shared/uploads.js";
import { kindAndSize } from "../shared/words.js";
import { Sounds } from "../sound/sounds.js";
import { Compare } from "./compare.js";
import { Live } from "./live.js";
import { make, makeBefore, makePreviews, requestKey } from "./making.js";
import { fetchLinked } from "./linked.js";
import { entryOf, readSession, Results, tidyFiles, writeSession } from "./results.js";
import { nearest, Settings } from "./settings.js";
import { showCommand, showReady, showStage } from "./stage.js";
import { Undo } from "./undo.js";

const SETTLE_MS = 300; // of a dial; what is chosen is followed at once
const LARGE_PIXELS = 2e6; // beyond which small results come first
const FAULTS = { image: ".stage", audio: "#lanes", weights: "#lanes", start_seconds: "#lanes", gain_db: "#gain", gains_db: "#gain", max_side: "#max-side" };

const compare = new Compare(find("#compare"));
export const sounds = new Sounds(document);
export const settings = new Settings();
export const results = new Results(find("#results"));
const live = new Live(find("#compare .blend"));
const progress = new Progress(() => cancel());
export const undo = new Undo(({ past, future }) => {
  find("#undo").disabled = past.length === 0;
  find("#redo").disabled = future.length === 0;
});
let photo = null; // the file
let seen = null; // the photo as an image, where the browser can show it
let shown = null; // the result
let running = null;
let waiting = false; // whether the change that settles is of a photo or a sound
let frame, timer;

const snapshot = () => ({ settings: settings.values(), arrangement: sounds.arrangement() });
const isReady = () => Boolean(photo) && sounds.files.length > 0;
const fieldsNow = (gains) => [...sounds.fields(), ...settings.fields(gains)];
const aboutShown = () => `${shown.width} × ${shown.height}`;
const explain = (problem) => showProblem(problem, FAULTS);
const cancel = () => running?.stopping.abort();

// ---- making

/** Makes the result of the settings, or one for each of the gains. Returns whether it is there. */
export async function stylize(gains = null) {
  if (!isReady()) return false;
  clearTimeout(timer);
  const fields = fieldsNow(gains);
  const made = { photo, files: sounds.files, settings: settings.values(), arrangement: sounds.arrangement() };
  const key = `${await requestKey(made.photo, made.files, fields)} ${gains}`;
  if (running?.key === key && !running.stopping.signal.aborted) return running.done;
  cancel();
  running = { key, stopping: new AbortController() };
  running.done = run(running, made, fields, gains);
  return running.done;
}

async function run(mine, made, fields, gains) {
  const { signal } = mine.stopping;
  explain(null);
  showCommand(made.photo, made.files, fields);
  progress.begin();
  let words = shown ? aboutShown() : "";
  try {
    const done = await make(made.photo, made.files, fields, signal, (job) => progress.follow(job));
    for (const result of done) await results.add(await entryOf(result, made, fields));
    words = `${done[0].width} × ${done[0].height}, made in ${progress.seconds.toFixed(progress.seconds < 10 ? 1 : 0)} s`;
    if (gains) settings.set({ ...settings.values(), gain: nearest(gains, settings.gain) });
    await showFitting();
    return true;
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") words = "Cancelled";
    else explain(asProblem(error));
    return false;
  } finally {
    if (running === mine) {
      running = null;
      progress.end(words);
    }
  }
}

/** Shows the result of the settings as they are, if there is one. Returns whether there is. */
export async function showFitting() {
  if (!isReady()) return false;
  const entry = results.find(await requestKey(photo, sounds.files, fieldsNow()));
  if (entry) await showEntry(entry);
  return Boolean(entry);
}

/** Has the dials made live, for what is chosen now. */
async function enliven() {
  if (!isReady()) return live.forget();
  const [of, files, start] = [photo, sounds.files, [...sounds.startFields(), ...(settings.model ? [["model", settings.model]] : [])]];
  try {
    if (!seen) await showUnseen(of, files);
    if (photo !== of) return;
    const request = (indices, signal) => makePreviews(of, indices.map((index) => files[index]), start, signal);
    await live.prepare(seen, files.length, request, () => !shown && dialMoved());
  } catch {} // the dials wait for the service, then
}

/** The photo as the service reads it, where the browser cannot. */
async function showUnseen(file, files) {
  const blob = await makeBefore(file, files);
  if (photo !== file) return;
  seen = await compare.showBefore(URL.createObjectURL(blob));
  if (shown) await compare.showAfter(find("#download").href);
}

/** Notes a change, and follows it once it settles. what: "files", "start" of the sounds, "shares" or "dials". */
export function changed(what) {
  showReady(photo, sounds.files);
  if (what === "files") undo.amend(snapshot());
  else undo.note(snapshot());
  const others = what === "files" || what === "start";
  if (others) live.forget();
  settle(others, what === "files" ? 0 : SETTLE_MS);
}

function settle(others = false, milliseconds = SETTLE_MS) {
  saveSession();
  waiting ||= others;
  clearTimeout(timer);
  timer = setTimeout(followChange, milliseconds);
}

/** Shows the result of the settings, made if need be; then has the dials made live if they are not. */
export async function followChange() {
  clearTimeout(timer);
  if (!isReady()) return;
  const others = waiting;
  waiting = false;
  const large = seen && seen.naturalWidth * seen.naturalHeight > LARGE_PIXELS;
  if (others && large) enliven();
  if ((await showFitting()) || (await stylize())) {
    if (others && !large) enliven();
  } else {
    waiting ||= others;
  }
}

// ---- showing

/** While a dial moves: a blend where the dials are live, else a mark on what is there. No request. */
export function dialMoved() {
  sounds.setGain(10 ** (settings.gain / 20));
  if (!isReady()) return;
  const dials = { gain: settings.gain, strength: settings.strength, shares: sounds.shares() };
  if (!live.isReady(dials.shares)) return compare.markStale();
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    const now = { gain: settings.gain, strength: settings.strength, shares: sounds.shares() };
    if (!live.isReady(now.shares)) return;
    live.draw(now);
    compare.showBlend();
    showHeard(find("#heard"), live.heard(now));
  });
}

async function showEntry(entry) {
  const address = URL.createObjectURL(entry.blob);
  await compare.showAfter(address);
  if (shown) URL.revokeObjectURL(find("#download").href);
  shown = entry;
  Object.assign(find("#download"), { hidden: false, href: address, download: entry.fileName });
  find("#download-kind").textContent = kindAndSize(entry.mediaType, entry.blob.size);
  find("#link").hidden = false;
  showHeard(find("#heard"), entry.heard);
  sounds.showHeard(entry.heard.windows);
  results.mark(entry);
  history.replaceState(null, "", `#result=${entry.id}`);
  if (!running) progress.end(aboutShown());
  saveSession();
}

/** Nothing is shown any more but the photo. */
function forgetShown() {
  if (shown) URL.revokeObjectURL(find("#download").href);
  shown = null;
  find("#download").hidden = find("#link").hidden = find("#heard").hidden = true;
  results.mark(null);
  history.replaceState(null, "", location.pathname + location.search);
}

// ---- choosing

/** Takes the photo, or says why not and leaves everything as it is. Returns whether it is taken. */
async function takePhoto(file) {
  try {
    seen = await compare.showBefore(URL.createObjectURL(file));
  } catch {
    const problem = await refusal(file, "image");
    if (problem) {
      explain(problem);
      return false;
    }
    compare.showNoBefore(`This browser cannot show ${file.name} itself. It appears when there is a sound.`);
    seen = null;
  }
  if (photo && photo !== file) stopSending(photo);
  await keepFile(file);
  photo = file;
  upload(file).catch(() => {}); // so that it is there when there is a sound; what is wrong is said then
  showStage(file.name);
  return true;
}

export async function choosePhoto(file) {
  if (!(await takePhoto(file))) return;
  cancel();
  explain(null);
  forgetShown();
  progress.end(seen ? `${seen.naturalWidth} × ${seen.naturalHeight}` : "");
  changed("files");
}

/** Goes back to a result: its photo, its sounds, its dials. */
export async function restore({ picture, sounds: files, arrangement, settings: values }, entry = null) {
  clearTimeout(timer);
  waiting = false;
  cancel();
  const kept = await Promise.all([picture, ...files].map(async (file) => (file ? keptFile(file.key) : null)));
  const now = await Promise.all([photo, ...sounds.files].map((file) => (file ? fileKey(file) : null)));
  const others = JSON.stringify(now) !== JSON.stringify([picture, ...files].map((file) => file?.key ?? null));
  if (others) {
    live.forget();
    if (kept[0] && now[0] !== picture.key) await takePhoto(kept[0]);
    sounds.restore(kept.slice(1).filter(Boolean), arrangement);
  } else {
    sounds.arrange(arrangement);
  }
  settings.set(values);
  sounds.setGain(10 ** (settings.gain / 20));
  undo.note(snapshot());
  explain(null);
  showReady(photo, sounds.files);
  if (entry) await showEntry(entry);
  if (others) enliven();
}

/** Sets the dials as they were in a snapshot. */
export function goTo(state) {
  if (!state) return;
  settings.set(state.settings);
  sounds.arrange(state.arrangement);
  dialMoved();
  settle();
}

/** Forgets the results; what is chosen stays until the page is closed. */
export function forgetResults() {
  results.forget();
  history.replaceState(null, "", location.pathname + location.search);
}

// ---- what outlasts a reload

async function saveSession() {
  const [picture, ...files] = await Promise.all([photo, ...sounds.files].map(async (file) => (file ? { key: await keepFile(file), name: file.name } : null)));
  await writeSession({ picture, sounds: files, ...snapshot() });
}

/** Shows what a link leads to, or else what there was before a reload. */
export async function begin() {
  await results.load();
  const session = await readSession();
  tidyFiles(results, session);
  const [, id, index] = location.hash.match(/^#result=([0-9a-f]{32})-(\d+)$/) ?? [];
  const entry = results.entries.find((one) => one.id === `${id}-${index}`);
  if (photo || sounds.files.length) return; // chosen meanwhile
  if (entry) await restore(entry, entry);
  else if (id) await showLinked(id, Number(index));
  else if (session) {
    await restore(session);
    await showFitting();
  }
  undo.begin(snapshot());
}

/** A result that somebody else has made, or another browser. */
async function showLinked(id, index) {
  try {
    const entry = await fetchLinked(id, index);
    showStage(entry.picture?.name ?? entry.fileName);
    compare.showNoBefore("");
    settings.set(entry.settings);
    await showEntry(entry);
  } catch (error) {
    explain(asProblem(error));
  }
}
